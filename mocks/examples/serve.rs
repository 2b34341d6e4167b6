//! Serves a bundle as a live cluster, cloud and internet on this machine, until Ctrl-C, and says how
//! to inspect it: `cargo run -p kfcheck-mocks --example serve -- BUNDLE`.

use std::{io, path::Path, sync::Arc};

use kfcheck_mocks::{
    AwsMock, Documents, GoogleMock, KubernetesMock, Models, OutsideMock, Served, kubeconfig,
};

#[tokio::main]
#[allow(clippy::print_stdout, reason = "it is what it is for")]
async fn main() -> io::Result<()> {
    let usage = || io::Error::other("name the folder of a bundle");
    let bundle = std::env::args_os().nth(1).ok_or_else(usage)?;
    let served = Served::open(Path::new(&bundle)).map_err(io::Error::other)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let documents = Arc::new(Documents::open(&root.join("target/tools/google-api"))?);
    let models = Arc::new(Models::open(&root.join("target/tools/aws-api"))?);
    let manifest = served.manifest();
    let kubernetes = KubernetesMock::new(served.clone()).start().await?;
    let google = GoogleMock::new(served.clone(), documents).start().await?;
    let aws = AwsMock::new(served.clone(), models).start().await?;
    let outside = OutsideMock::new(served).start().await?;

    let folder = std::env::temp_dir().join(format!("kfcheck-serve-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let kubeconfig = kubeconfig(&kubernetes.url(), "served");
    let (config, authority) = (folder.join("kubeconfig"), folder.join("authority.pem"));
    std::fs::write(&config, kubeconfig.to_string())?;
    std::fs::write(&authority, outside.ca_pem())?;
    let flags = [("project", "--project"), ("location", "--location"), ("cluster", "--cluster")];
    let said = flags
        .iter()
        .filter_map(|(field, flag)| Some(format!(" {flag} {}", manifest["gcp"][field].as_str()?)));
    println!(
        "SSL_CERT_FILE={} kubectl kfcheck gcp --kubeconfig {} --exec --dns-server {} \
         --connect-to {},{} --endpoint compute={url} --endpoint container={url} \
         --endpoint logging={url} --endpoint dns={url} --endpoint certificatemanager={url}{}",
        authority.display(),
        config.display(),
        outside.dns_address(),
        outside.https_address(),
        outside.http_address(),
        said.collect::<String>(),
        url = google.url(),
    );
    if let Some(region) = manifest["aws"]["region"].as_str() {
        println!(
            "AWS_ENDPOINT_URL={} AWS_REGION={region} AWS_ACCESS_KEY_ID=served \
             AWS_SECRET_ACCESS_KEY=served aws sts get-caller-identity",
            aws.url(),
        );
    }
    tokio::signal::ctrl_c().await?;
    std::fs::remove_dir_all(folder)
}
