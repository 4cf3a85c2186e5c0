//! The options of a `mock` server.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::fleet::MAX_SERVICES;

/// The most records of one kind a minute may hold.
const MAX_RATE: u32 = 1_000_000;

/// The size of the invented system. Together with the time it decides every record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockConfig {
    /// Another seed gives another system.
    pub seed: u64,
    /// Log lines a minute, 0 to 1,000,000.
    pub logs_per_minute: u32,
    /// Metric points a minute, 0 to 1,000,000.
    pub metrics_per_minute: u32,
    /// Spans a minute, 0 to 1,000,000.
    pub spans_per_minute: u32,
    /// Number of services, 2 to 200; values outside are taken as the nearest inside.
    pub services: u32,
}

impl Default for MockConfig {
    fn default() -> Self {
        MockConfig {
            seed: 1,
            logs_per_minute: 5_000,
            metrics_per_minute: 500,
            spans_per_minute: 1_000,
            services: 12,
        }
    }
}

impl MockConfig {
    /// The server options of this kind, without `kind` itself.
    pub const OPTIONS: [&'static str; 5] = [
        "seed",
        "logs_per_minute",
        "metrics_per_minute",
        "spans_per_minute",
        "services",
    ];

    /// Reads the options of a server; those left out keep their defaults and `kind` is passed over.
    ///
    /// # Errors
    /// A message that names the option and its valid range, or the valid options if one is unknown.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<MockConfig, String> {
        let mut cfg = MockConfig::default();
        for (name, value) in options {
            match name.as_str() {
                "kind" => {}
                "seed" => cfg.seed = number(name, value, 0, u64::MAX)?,
                "logs_per_minute" => cfg.logs_per_minute = number(name, value, 0, MAX_RATE)?,
                "metrics_per_minute" => cfg.metrics_per_minute = number(name, value, 0, MAX_RATE)?,
                "spans_per_minute" => cfg.spans_per_minute = number(name, value, 0, MAX_RATE)?,
                "services" => cfg.services = number(name, value, 2, MAX_SERVICES)?,
                _ => {
                    return Err(format!(
                        "unknown option \"{name}\": valid are {}",
                        MockConfig::OPTIONS.join(", ")
                    ));
                }
            }
        }
        Ok(cfg)
    }
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(name: &str, value: &str, low: T, high: T) -> Result<T, String> {
    match value.trim().parse::<T>() {
        Ok(number) if low <= number && number <= high => Ok(number),
        _ => Err(format!("option \"{name}\" must be a whole number from {low} to {high}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<MockConfig, String> {
        MockConfig::parse(&options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn defaults_and_values() {
        assert_eq!(parse(&[]), Ok(MockConfig::default()));
        let all = [
            ("kind", "mock"),
            ("seed", "18446744073709551615"),
            ("logs_per_minute", "0"),
            ("metrics_per_minute", " 1000000 "),
            ("spans_per_minute", "7"),
            ("services", "200"),
        ];
        let expected = MockConfig {
            seed: u64::MAX,
            logs_per_minute: 0,
            metrics_per_minute: 1_000_000,
            spans_per_minute: 7,
            services: 200,
        };
        assert_eq!(parse(&all), Ok(expected));
    }

    #[test]
    fn bad_values_are_refused_with_the_range() {
        for value in ["1", "201", "-3", "twelve", "", "12.0", "99999999999999999999"] {
            let message = parse(&[("services", value)]).unwrap_err();
            assert_eq!(message, "option \"services\" must be a whole number from 2 to 200");
        }
        assert!(
            parse(&[("logs_per_minute", "1000001")])
                .unwrap_err()
                .contains("from 0 to 1000000")
        );
        assert!(
            parse(&[("seed", "-1")])
                .unwrap_err()
                .contains("from 0 to 18446744073709551615")
        );
        let message = parse(&[("password", "hush")]).unwrap_err();
        assert!(
            message.contains("logs_per_minute") && !message.contains("hush"),
            "{message}"
        );
    }
}
