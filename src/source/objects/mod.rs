//! Reads windows from objects, wherever they lie: a folder of this machine, a bucket. The layouts, the readers and the
//! rules are the same for all places.

pub mod object;
pub mod store;

mod fetch;
mod generations;
mod hive;
mod listing;
mod ndjson;
mod openobserve;
mod partition;
mod plain;
mod read;
mod replay;
mod template;
#[cfg(test)]
pub mod testing;

pub use fetch::Reader;
pub use replay::replay;

use super::error::SourceError;
use super::file_list::FileListConfig;
use super::server::Options;
use std::str::FromStr;
use template::Template;

/// How the objects of a place are arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrangement {
    pub layout: Layout,
    /// The organization, in OpenObserve's layout.
    pub org: String,
    /// Who tells which objects are live, in OpenObserve's layout; without, the objects themselves are looked at.
    pub file_list: Option<Box<FileListConfig>>,
    /// What the folders are called, in the layout `hive`; without, their names are guessed at.
    pub template: Option<Template>,
}

impl Arrangement {
    /// An arrangement with nothing but a layout.
    #[cfg(test)]
    pub fn plain(layout: Layout, org: &str) -> Self {
        Arrangement {
            layout,
            org: org.to_string(),
            file_list: None,
            template: None,
        }
    }

    /// From the options of a server and of a user mapping.
    ///
    /// # Errors
    /// `Config` for a value that its option cannot have, and for options that do not go together.
    pub fn parse(server: &Options, mapping: &Options) -> Result<Self, SourceError> {
        let template = Template::parse_options(server)?;
        let layout = match server.get("layout") {
            Some(layout) => layout.parse()?,
            None if template.is_some() => Layout::Hive,
            None => Layout::OpenObserve,
        };
        let file_list = FileListConfig::parse(server, mapping)?.map(Box::new);
        if template.is_some() && layout != Layout::Hive {
            return Err(SourceError::config(
                "server option \"path_template\" is for the layout hive",
                "Set layout 'hive', or leave path_template away.",
            ));
        }
        if file_list.is_some() && layout != Layout::OpenObserve {
            return Err(SourceError::config(
                "server option \"metadata_url\" is for the layout openobserve",
                "Other layouts have no metadata database: leave metadata_url away.",
            ));
        }
        Ok(Arrangement {
            layout,
            org: server.get("org").cloned().unwrap_or_else(|| "default".into()),
            file_list,
            template,
        })
    }
}

/// How objects are laid out in folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[stream/][files/]{org}/{type}/{stream}/{Y}/{M}/{D}/{H}/**.parquet`, as OpenObserve keeps its objects.
    OpenObserve,
    /// `{dataset}/yyyy=/mm=/dd=/hh=/mm=/*`, any prefix of these keys, and any other `key=value` folders in between.
    Hive,
    /// One object, or a folder of objects, whose names tell their dataset.
    Plain,
}

impl FromStr for Layout {
    type Err = SourceError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "openobserve" => Ok(Layout::OpenObserve),
            "hive" => Ok(Layout::Hive),
            "plain" => Ok(Layout::Plain),
            _ => Err(SourceError::config(
                format!("layout \"{s}\" is not known"),
                "Valid layouts are: openobserve, hive, plain.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_names() {
        assert_eq!("hive".parse::<Layout>().unwrap(), Layout::Hive);
        let hint = "x".parse::<Layout>().unwrap_err().hint.unwrap();
        assert!(hint.contains("openobserve, hive, plain"));
    }
}
