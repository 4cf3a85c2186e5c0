//! Kind `git`: the files of one commit of a repository, read into memory. Over HTTP the newest commit of a branch or tag
//! is fetched without its history (protocol version 2, smart HTTP); below `observe_bridge.file_roots` a repository is read
//! where it lies. No program is started, nothing is checked out, and no configuration, hook or helper of git is read.

mod local;
mod objects;
mod pack;
mod packets;
mod tree;
mod wire;

use super::Context;
use super::documents::{Collector, check_url, shown};
use super::error::SourceError;
use super::file::FileConfig;
use super::http::Route;
use super::objects::{Arrangement, Layout};
use super::server::Options;
use std::fmt;
use std::path::PathBuf;

/// Longest name of a branch or tag.
const MAX_REFERENCE: usize = 255;
/// The user of a token where the user mapping names none: forges look at the token only.
const TOKEN_USER: &str = "oauth2";

/// Options of a server of kind `git` and its user mapping. `Debug` shows no secret.
#[derive(Clone)]
pub struct GitConfig {
    pub place: Place,
    /// A branch, a tag, a full name that begins with `refs/`, or a commit; else what HEAD is.
    pub reference: Option<String>,
}

/// Where a repository is.
#[derive(Clone)]
pub enum Place {
    Remote {
        url: String,
        /// The header `Authorization`.
        authorization: Option<String>,
        route: Route,
    },
    Local(FileConfig),
}

impl fmt::Debug for GitConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.place {
            Place::Remote { url, .. } => shown(url).to_string(),
            Place::Local(file) => file.path.display().to_string(),
        };
        f.debug_struct("GitConfig")
            .field("place", &place)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

impl GitConfig {
    /// # Errors
    /// `Config` for a URL or a reference that cannot be.
    pub fn parse(server: &Options, mapping: &Options, roots: Vec<PathBuf>) -> Result<GitConfig, SourceError> {
        let text = server.get("url").map(String::as_str).unwrap_or_default();
        let url = check_url(text, &["https", "http", "file"])?;
        let reference = server.get("ref").cloned();
        if let Some(name) = reference.as_deref().filter(|name| !is_reference(name)) {
            return Err(SourceError::config(
                format!("server option \"ref\" cannot be \"{}\"", super::error::excerpt(name)),
                "Name a branch, a tag or a commit, such as main, v1.2 or refs/heads/main.",
            ));
        }
        let place = if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| {
                SourceError::config(
                    "server option \"url\" is not a path",
                    "For example: url 'file:///srv/infra.git'.",
                )
            })?;
            let arrangement = Arrangement {
                layout: Layout::Plain,
                org: String::new(),
                file_list: None,
                template: None,
            };
            Place::Local(FileConfig {
                path,
                roots,
                arrangement,
                settle: None,
            })
        } else {
            let token = mapping.get("token");
            let user = mapping.get("username").map(String::as_str);
            let authorization = (token.is_some() || user.is_some()).then(|| {
                let password = token.or_else(|| mapping.get("password"));
                super::documents::basic(user.unwrap_or(TOKEN_USER), password)
            });
            Place::Remote {
                url: text.trim_end_matches('/').to_string(),
                authorization,
                route: Route::parse(server, mapping)?,
            }
        };
        Ok(GitConfig { place, reference })
    }
}

/// Whether a text may name a reference: a little stricter than git's own rules (git-check-ref-format).
fn is_reference(name: &str) -> bool {
    let bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let parts = || name.split('/');
    (1..=MAX_REFERENCE).contains(&name.len())
        && !name.contains(bad)
        && !name.contains("..")
        && !name.contains("@{")
        && parts().all(|part| !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with(".lock"))
}

/// Hands over the wanted files of the commit.
///
/// # Errors
/// Those of [`super::documents::gather`].
pub fn gather(config: &GitConfig, ctx: &Context, collector: &mut Collector<'_>) -> Result<(), SourceError> {
    let reference = config.reference.as_deref();
    match &config.place {
        Place::Remote {
            url,
            authorization,
            route,
        } => {
            let fetched = wire::fetch(url, authorization.as_deref(), route, reference, ctx)?;
            collector.gathered.requests += fetched.requests;
            let mut pack = pack::Pack::unindexed(fetched.pack, &ctx.cancel)?;
            tree::walk(&mut pack, fetched.commit, collector)
        }
        Place::Local(file) => {
            let mut repository = local::Repository::open(file)?;
            let commit = repository.resolve(reference)?;
            tree::walk(&mut repository, commit, collector)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_references() {
        for good in [
            "main",
            "v1.2",
            "feature/x",
            "refs/heads/main",
            "0123456789012345678901234567890123456789",
        ] {
            assert!(is_reference(good), "{good}");
        }
        for bad in [
            "", "a b", "a..b", "-x", "a/", "/a", "a//b", ".a", "a~1", "a^", "a:b", "x.lock", "a\n",
        ] {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    #[test]
    fn a_token_goes_with_a_user_and_stays_secret() {
        let options = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let server: Options = options(&[("url", "https://h/r.git/")]);
        let config = GitConfig::parse(&server, &options(&[("token", "Sesame")]), Vec::new()).unwrap();
        let Place::Remote { url, authorization, .. } = &config.place else {
            panic!("it is remote")
        };
        assert_eq!(url, "https://h/r.git");
        assert_eq!(authorization.as_deref(), Some("Basic b2F1dGgyOlNlc2FtZQ=="));
        assert!(!format!("{config:?}").contains("Sesame"));
        let ssh = options(&[("url", "ssh://git@h/r.git")]);
        assert!(GitConfig::parse(&ssh, &Options::new(), Vec::new()).is_err());
    }
}
