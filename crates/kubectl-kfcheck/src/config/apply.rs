//! What the command line leaves open, the configuration says.

use std::io::{self, Write};

use globset::Glob;
use serde_saphyr::Spanned;

use super::{
    Config,
    file::{Deployment, File},
    values::{Object, Text},
};
use crate::{
    Provider,
    args::{Collect, EntranceArgs, Inspect},
    live::LiveArgs,
    provider::CloudArgs,
};

impl<C: CloudArgs> Inspect<C> {
    /// The same, with what the configuration says where the command line says nothing.
    pub(crate) fn configured(self, providers: &[Provider]) -> Result<Self, String> {
        self.scoped(providers)?.selected(C::NAME, providers)
    }

    /// The same, with the deployment that the configuration names, whatever provider it is of.
    pub(crate) fn scoped(mut self, providers: &[Provider]) -> Result<Self, String> {
        let config = Config::find(&self.live.config, providers)?;
        config.announce(self.verbose);
        fill(&mut self.entrance, &mut self.live, &config.file);
        self.timeout = self.timeout.or(config.file.timeout.map(|time| time.0));
        self.fail_on = self.fail_on.or(config.file.fail_on);
        self.live.config.read = config;
        Ok(self)
    }

    /// The same, with the checks of this provider that the configuration selects.
    pub(crate) fn selected(mut self, name: &str, providers: &[Provider]) -> Result<Self, String> {
        let config = &self.live.config.read;
        let checks = &config.file.checks;
        if self.check.is_empty() {
            self.check = of_provider(name, &checks.only, providers);
            if self.check.is_empty() && !checks.only.is_empty() {
                let file = config.name.as_deref().unwrap_or_default();
                return Err(format!(
                    "{file}: checks.only names no check of {name}; add one, or say --check '*'"
                ));
            }
            if self.skip.is_empty() {
                self.skip = of_provider(name, &checks.skip, providers);
            }
        }
        Ok(self)
    }
}

impl<C: CloudArgs> Collect<C> {
    /// The same, with what the configuration says where the command line says nothing.
    pub(crate) fn configured(mut self, providers: &[Provider]) -> Result<Self, String> {
        let config = Config::find(&self.live.config, providers)?;
        config.announce(self.verbose);
        fill(&mut self.entrance, &mut self.live, &config.file);
        self.live.config.read = config;
        Ok(self)
    }
}

impl Config {
    fn announce(&self, verbose: bool) {
        if let Some(name) = self.name.as_ref().filter(|_| verbose) {
            // Where even that can't be said, the report is what counts.
            let _ = writeln!(io::stderr(), "configuration  {name}");
        }
    }

    /// How long a check may take.
    pub(crate) fn timeout(&self) -> Option<std::time::Duration> {
        self.file.timeout.map(|time| time.0)
    }
}

/// The globs that match a check of this provider's. The others are for other providers.
fn of_provider(name: &str, globs: &[Spanned<String>], providers: &[Provider]) -> Vec<String> {
    let ours = providers.iter().filter(|provider| provider.name == name);
    let ids: Vec<_> =
        ours.flat_map(|provider| &provider.checks).map(|check| check.meta().id).collect();
    let is_ours = |glob: &&Spanned<String>| {
        let matcher = Glob::new(&glob.value).map(|glob| glob.compile_matcher());
        matcher.is_ok_and(|matcher| ids.iter().any(|id| matcher.is_match(id)))
    };
    globs.iter().filter(is_ours).map(|glob| glob.value.clone()).collect()
}

/// What the configuration says of another cluster's deployment says nothing of the one that is meant:
/// half of each would be told as one.
fn fill<C: CloudArgs>(entrance: &mut EntranceArgs, live: &mut LiveArgs<C>, file: &File) {
    live.dns_server = live.dns_server.or(file.probes.dns_server.map(|server| server.0));
    let scope = &file.scope;
    let is_other = match (&live.context, &scope.context) {
        (Some(meant), Some(Text(written))) => meant != written,
        _ => false,
    };
    if !is_other {
        fill_entrance(entrance, scope);
        fill_live(live, scope);
    }
}

fn fill_entrance(args: &mut EntranceArgs, scope: &Deployment) {
    let EntranceArgs { host, ingress, gateway, service, namespace } = args;
    if host.is_none() && ingress.is_none() && gateway.is_none() && service.is_none() {
        let object = |object: &Object| (object.0.clone(), object.1.clone());
        *host = scope.host.as_ref().map(|host| host.value.0.clone());
        *ingress = scope.ingress.as_ref().map(|ingress| object(&ingress.value));
        *gateway = scope.gateway.as_ref().map(|gateway| object(&gateway.value));
        *service = scope.service.as_ref().map(|service| object(&service.value));
    }
    if namespace.is_none() {
        *namespace = scope.namespace.as_ref().map(|name| name.0.clone());
    }
}

fn fill_live<C: CloudArgs>(args: &mut LiveArgs<C>, scope: &Deployment) {
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.0.clone());
    if args.context.is_none() {
        args.context = text(&scope.context);
    }
    if args.cluster.is_none() {
        args.cluster = C::cluster(scope);
    }
    args.cloud.fill(scope);
}

#[cfg(feature = "onprem")]
#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::{Args, Command, providers};

    /// The context and host of an inspection with these flags, beside a configuration of `prod`.
    fn scope(flags: &[&str]) -> (Option<String>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, "scope: { context: prod, host: kf.example.com }").unwrap();
        let named = ["kubectl kfcheck", "onprem", "--config", file.to_str().unwrap()];
        let args = Args::try_parse_from(named.iter().chain(flags)).unwrap();
        let Command::Onprem(args) = args.command else { panic!("it is another command") };
        let args = args.configured(&providers()).unwrap();
        (args.live.context, args.entrance.host)
    }

    #[test]
    fn nothing_of_another_clusters_deployment_is_taken_for_this_ones() {
        let (prod, staging) = (Some("prod".to_owned()), Some("staging".to_owned()));
        let host = Some("kf.example.com".to_owned());
        assert_eq!(scope(&[]), (prod.clone(), host.clone()));
        assert_eq!(scope(&["--context", "prod"]), (prod, host));
        assert_eq!(scope(&["--context", "staging"]), (staging, None));
    }
}
