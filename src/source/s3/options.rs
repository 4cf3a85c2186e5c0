//! From the options of a server and of a user mapping to a bucket.

use super::client;
use super::{Credentials, S3Config};
use crate::source::error::SourceError;
use crate::source::http;
use crate::source::objects::Arrangement;
use crate::source::server::Options;

impl S3Config {
    /// Makes a source of the options of a server and of a user mapping. Without an endpoint the bucket is one of AWS.
    ///
    /// # Errors
    /// `Config` for a value that its option cannot have.
    pub fn parse(server: &Options, mapping: &Options, arrangement: Arrangement) -> Result<S3Config, SourceError> {
        let text = |key: &str| server.get(key).cloned().filter(|v| !v.is_empty());
        let region = text("region").unwrap_or_else(|| "us-east-1".into());
        let endpoint = text("endpoint").map(|e| http::endpoint(&e)).transpose()?;
        let path_style = match text("path_style").as_deref() {
            Some("true" | "on" | "yes" | "1") => true,
            Some("false" | "off" | "no" | "0") => false,
            // Other servers than AWS's seldom have a name for each bucket.
            None => endpoint.is_some(),
            Some(_) => {
                return Err(SourceError::config(
                    "server option \"path_style\" must be true or false",
                    "true: http://host/bucket/key; false: http://bucket.host/key.",
                ));
            }
        };
        let credentials = match (mapping.get("access_key_id"), mapping.get("secret_access_key")) {
            (Some(id), Some(secret)) => Some(Credentials {
                access_key_id: id.clone(),
                secret_access_key: secret.clone(),
                session_token: mapping.get("session_token").cloned(),
            }),
            (None, None) => None,
            _ => {
                return Err(SourceError::config(
                    "the user mapping has one of access_key_id and secret_access_key",
                    "Give both, or neither for a bucket that anybody may read.",
                ));
            }
        };
        let config = S3Config {
            bucket: text("bucket").unwrap_or_default(),
            endpoint: endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com")),
            region,
            prefix: text("prefix").unwrap_or_default().trim_start_matches('/').to_string(),
            path_style,
            arrangement,
            route: http::Route::parse(server, mapping)?,
            credentials,
            settle: None,
        };
        client::address(&config)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceConfig;
    use crate::source::server;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn a_bucket_of_aws_and_one_of_another_server() {
        let make = |named: &[(&str, &str)], mapping: &[(&str, &str)]| match server::config(
            &options(named),
            &options(mapping),
            Vec::new(),
        ) {
            Ok(SourceConfig::S3(s3)) => Ok(s3),
            Ok(other) => panic!("{other:?}"),
            Err(e) => Err(e),
        };
        let aws = make(&[("kind", "s3"), ("bucket", "b"), ("region", "eu-west-1")], &[]).unwrap();
        assert_eq!(
            (aws.endpoint.as_str(), aws.path_style),
            ("https://s3.eu-west-1.amazonaws.com", false)
        );
        assert!(aws.credentials.is_none());
        let own = [
            ("kind", "s3"),
            ("bucket", "b"),
            ("endpoint", "http://h:9000"),
            ("prefix", "/oo/prod/"),
        ];
        let keys = [
            ("access_key_id", "a"),
            ("secret_access_key", "s"),
            ("session_token", "t"),
        ];
        let own_config = make(&own, &keys).unwrap();
        assert!(own_config.path_style && own_config.prefix == "oo/prod/" && own_config.region == "us-east-1");
        assert_eq!(own_config.credentials.unwrap().session_token.as_deref(), Some("t"));
        assert!(
            make(&own, &keys[..1])
                .unwrap_err()
                .message
                .contains("one of access_key_id")
        );
    }
}
