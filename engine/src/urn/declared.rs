//! URNs of declared things, from what an input of topology says of them.

use super::{Resource, part};
use crate::record::Peer;

/// `urn:host:<name>`.
pub fn host(name: &str) -> String {
    Resource::host(name).urn
}

/// A Kubernetes object: `urn:k8s:svc:<namespace>/<name>` of a Service, `urn:host:<name>` of a Node,
/// `urn:k8s:<kind>:<namespace>/<name>` of everything else (without namespace where the kind has none).
pub fn kubernetes(kind: &str, namespace: Option<&str>, name: &str) -> String {
    let kind = match kind {
        "Node" => return host(name),
        "Service" => "svc".to_owned(),
        other => part(&other.to_ascii_lowercase()),
    };
    match namespace {
        Some(namespace) => format!("urn:k8s:{kind}:{}/{}", part(namespace), part(name)),
        None => format!("urn:k8s:{kind}:{}", part(name)),
    }
}

/// A database: `urn:db:postgres:<cluster>/<database>`. `None` for engines that are not known to speak one of the
/// protocols that applications name.
pub fn database(engine: &str, cluster: &str, database: &str) -> Option<String> {
    let protocol = super::protocol(engine)?;
    Some(format!("urn:db:{protocol}:{}/{}", part(cluster), part(database)))
}

/// A database that a connection string names by scheme, host and database, as the spans that call it do. `None` for
/// schemes of anything else, and where the host only stands for the servers (`mongodb+srv`).
pub fn database_at(scheme: &str, host: &str, database: &str) -> Option<String> {
    const SYSTEMS: [&str; 3] = ["mongodb", "cassandra", "clickhouse"];
    (super::protocol(scheme).is_some() || SYSTEMS.contains(&scheme)).then(|| {
        super::peer(Peer::Database {
            system: scheme,
            address: Some(host),
            name: Some(database),
        })
        .urn
    })
}

/// Something of AWS, by its ARN or, where an answer has none, by its id: `urn:aws:<id>`. Names that are unique only
/// within an account (`my-group`) get none.
pub fn aws(id: &str) -> Option<String> {
    const IDS: [&str; 10] = [
        "i-", "sg-", "subnet-", "vpc-", "eni-", "vol-", "lt-", "igw-", "nat-", "rtb-",
    ];
    (id.starts_with("arn:") || IDS.iter().any(|prefix| id.starts_with(prefix))).then(|| format!("urn:aws:{}", part(id)))
}

/// Something of Aliyun, by its id: `urn:aliyun:<id>`.
pub fn aliyun(id: &str) -> Option<String> {
    const IDS: [&str; 21] = [
        "i-", "sg-", "vsw-", "vpc-", "eni-", "lb-", "alb-", "nlb-", "lsn-", "rule-", "rm-", "rr-", "pgm-", "pgr-",
        "dds-", "asg-", "asc-", "sgp-", "rsp-", "lt-", "ngw-",
    ];
    // Redis, disks, PolarDB: short enough to begin names that users give, so the generated rest must be there, too.
    const SHORT: [&str; 3] = ["r-", "d-", "pc-"];
    let generated = |rest: &str| rest.len() >= 10 && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let known = IDS.iter().any(|prefix| id.starts_with(prefix))
        || SHORT
            .iter()
            .any(|prefix| id.strip_prefix(prefix).is_some_and(generated));
    known.then(|| format!("urn:aliyun:{}", part(id)))
}

/// A database of an RDS instance of Aliyun, where the id says which engine it runs.
pub fn aliyun_database(instance: &str, name: &str) -> Option<String> {
    let postgres = instance.starts_with("pgm-") || instance.starts_with("pgr-");
    postgres.then(|| database("postgres", instance, name))?
}

/// A cache by its address: `urn:db:<system>:<address>`, as spans name it.
pub fn cache(system: &str, address: &str) -> String {
    super::peer(Peer::Database {
        system,
        address: Some(address),
        name: None,
    })
    .urn
}

/// An instance of a cloud by the id that `spec.providerID` of a Node has: `urn:gce:<project>/<zone>/<name>`, encoded.
pub fn instance(provider: &str, id: &str) -> String {
    format!("urn:{provider}:{}", part(id))
}

/// A load balancer by its address: `urn:balancer:<address>`. A name beside its own, by which others find it.
pub fn balancer(address: &str) -> String {
    format!("urn:balancer:{}", part(address))
}

/// A queue or topic: `urn:queue:<system>:<destination>`, as spans name it.
pub fn queue(system: &str, destination: &str) -> String {
    super::peer(Peer::Queue { system, destination }).urn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_design() {
        assert_eq!(kubernetes("Service", Some("shop"), "cart"), "urn:k8s:svc:shop/cart");
        assert_eq!(kubernetes("Node", None, "n1"), "urn:host:n1");
        assert_eq!(
            kubernetes("PersistentVolume", None, "a/b"),
            "urn:k8s:persistentvolume:a%2Fb"
        );
        assert_eq!(
            database("aurora-postgresql", "main", "shop").as_deref(),
            Some("urn:db:postgres:main/shop")
        );
        assert_eq!(database("docdb", "main", "shop"), None);
        assert_eq!(aliyun("pgm-1").as_deref(), Some("urn:aliyun:pgm-1"));
        assert_eq!(
            aliyun("r-bp1zxszhcgatnx").as_deref(),
            Some("urn:aliyun:r-bp1zxszhcgatnx")
        );
        assert_eq!(aliyun("r-and-d"), None);
        assert_eq!(queue("kafka", "a/b"), "urn:queue:kafka:a%2Fb");
        let at = |scheme| database_at(scheme, "pg.example.com", "shop");
        assert_eq!(at("postgresql").as_deref(), Some("urn:db:postgres:pg.example.com/shop"));
        assert_eq!(at("mongodb").as_deref(), Some("urn:db:mongodb:pg.example.com/shop"));
        assert_eq!(cache("redis", "c.example.com"), "urn:db:redis:c.example.com");
        assert_eq!(
            aliyun_database("pgm-1", "shop").as_deref(),
            Some("urn:db:postgres:pgm-1/shop")
        );
        assert_eq!(aliyun_database("rm-1", "shop"), None);
        assert_eq!((at("redis"), at("mongodb+srv"), at("https")), (None, None, None));
        assert_eq!(aws("my-group"), None);
        assert_eq!(aws("arn:aws:rds:x").as_deref(), Some("urn:aws:arn%3Aaws%3Ards%3Ax"));
    }
}
