//! `cargo xtask krew`: an archive of the program, and what krew is told about it.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// What krew is told, with words to fill in.
const TEMPLATE: &str = "packaging/krew/kfcheck.yaml";
/// The platforms that it is built for, as Go calls them.
const PLATFORMS: [&str; 4] = ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"];
const PROGRAM: &str = "kubectl-kfcheck";

/// Packs the program for this machine's platform, and writes the manifest for all archives of the
/// version that are in the folder.
pub(crate) fn pack(
    root: &Path,
    version: &str,
    folder: &str,
    url: &str,
    program: Option<&str>,
) -> Result<String, String> {
    let own = concat!("v", env!("CARGO_PKG_VERSION"));
    if version != own {
        return Err(format!("{version} is not what Cargo.toml says; it says {own}"));
    }
    if !url.starts_with("https://") {
        return Err(format!("{url} is no URL to download from; one begins with https://"));
    }
    let platform = platform()?;
    let folder = Path::new(folder);
    let program = program.map_or_else(|| build(root), |program| Ok(program.into()))?;
    fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let archive = folder.join(name(version, &platform));
    let packed = archive_of(root, &program)?;
    write(&archive, &packed)?;
    let mut archives = Vec::new();
    for platform in PLATFORMS {
        if let Ok(bytes) = fs::read(folder.join(name(version, platform))) {
            archives.push((platform, sum(&bytes)));
        }
    }
    let template = read(&root.join(TEMPLATE))?;
    let template = String::from_utf8(template).map_err(|_| format!("{TEMPLATE} is no text"))?;
    let manifest = folder.join("kfcheck.yaml");
    write(&manifest, manifest_of(&template, version, url, &archives).as_bytes())?;
    let missing = PLATFORMS.iter().filter(|one| !archives.iter().any(|(have, _)| have == *one));
    let missing: Vec<_> = missing.copied().collect();
    let left = match missing[..] {
        [] => String::new(),
        _ => format!(
            "missing {}: pack there, put the archives into {} and run this again\n",
            missing.join(", "),
            folder.display()
        ),
    };
    let (manifest, archive) = (manifest.display(), archive.display());
    Ok(format!(
        "wrote   {archive}\nwrote   {manifest}\n{left}\
         kubectl krew install --manifest {manifest} --archive {archive} tries it.\n"
    ))
}

/// As Go and krew call it.
fn platform() -> Result<String, String> {
    let system = if env::consts::OS == "macos" { "darwin" } else { env::consts::OS };
    let machine = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let platform = format!("{system}-{machine}");
    if PLATFORMS.contains(&&*platform) {
        return Ok(platform);
    }
    Err(format!("nothing is released for {platform}, only for {}", PLATFORMS.join(", ")))
}

fn name(version: &str, platform: &str) -> String {
    format!("{PROGRAM}-{version}-{platform}.tar.gz")
}

fn build(root: &Path) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--release", "--package", PROGRAM]).current_dir(root);
    let built = command.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !built.success() {
        return Err("the program could not be built".to_owned());
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release").join(PROGRAM))
}

/// The program, its licence and its manual pages. The same program gives the same archive.
fn archive_of(root: &Path, program: &Path) -> Result<Vec<u8>, String> {
    let failed = |error| format!("cannot pack {}: {error}", program.display());
    let compressed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut archive = Builder::new(compressed);
    add(&mut archive, PROGRAM, 0o755, &read(program)?).map_err(failed)?;
    add(&mut archive, "LICENSE", 0o644, &read(&root.join("LICENSE"))?).map_err(failed)?;
    for (page, text) in manual(program)? {
        add(&mut archive, &format!("man/man1/{page}"), 0o644, &text).map_err(failed)?;
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(failed)
}

fn add(
    archive: &mut Builder<impl Write>,
    name: &str,
    mode: u32,
    bytes: &[u8],
) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, name, bytes)
}

/// The manual pages, which the program writes itself.
fn manual(program: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let folder =
        tempfile::tempdir().map_err(|error| format!("no folder for the manual: {error}"))?;
    let ended = Command::new(program).arg("man").arg(folder.path()).output();
    let ended = ended.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    if !ended.status.success() {
        let says = String::from_utf8_lossy(&ended.stderr);
        return Err(format!("{} wrote no manual: {}", program.display(), says.trim()));
    }
    let mut pages = Vec::new();
    for entry in crate::list(folder.path())? {
        pages.push((entry.file_name().to_string_lossy().into_owned(), read(&entry.path())?));
    }
    pages.sort();
    Ok(pages)
}

fn manifest_of(
    template: &str,
    version: &str,
    url: &str,
    archives: &[(&'static str, String)],
) -> String {
    const PLATFORM: &str = "  - selector:\n";
    let url = url.trim_end_matches('/');
    let homepage = url.split("/releases/").next().unwrap_or(url);
    let mut parts = template.split(PLATFORM);
    let head = parts.next().unwrap_or_default();
    let head = head.lines().filter(|line| !line.starts_with('#'));
    let head: String = head.flat_map(|line| [line, "\n"]).collect();
    let mut text = head.replace("HOMEPAGE", homepage).replace("VERSION", version);
    for part in parts {
        let word = |platform: &str| format!("SHA256-{platform}");
        let known = archives.iter().find(|(platform, _)| part.contains(&word(platform)));
        if let Some((platform, sum)) = known {
            let filled = part.replace(&word(platform), sum).replace("VERSION", version);
            text += &format!("{PLATFORM}{}", filled.replace("URL/", &format!("{url}/")));
        }
    }
    text
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |sum, byte| format!("{sum}{byte:02x}"))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(file, bytes).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

#[cfg(test)]
mod tests;
