use std::{
    fs,
    io::{self, Write},
    path::Path,
};

/// Writes to standard output. A reader that has seen enough is no error.
pub(crate) fn print(text: &str) -> Result<(), String> {
    print_to_reader(text).map(|_| ())
}

/// Writes to standard output, and says whether there is somebody who reads on.
pub(crate) fn print_to_reader(text: &str) -> Result<bool, String> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("cannot write the report: {error}")),
    }
}

/// Writes a file. Whoever reads it meanwhile finds the one before or this one, never half of it.
pub(crate) fn save(text: &str, path: &Path) -> Result<(), String> {
    replace(text, path).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn replace(text: &str, path: &Path) -> io::Result<()> {
    // A link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // A pipe or a terminal can't be replaced.
    if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
        return fs::write(&path, text);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kfcheck-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file, less what the user's mask takes away; it is no secret of its own.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::save;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        save("a long one", &path).unwrap();
        save("short", &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_to_a_file_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        save("after", &link).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/report.html");
        let error = save("text", &path).unwrap_err();
        assert!(error.contains("none/report.html"), "{error}");
    }
}
