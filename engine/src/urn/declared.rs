//! URNs of declared things, from what an input of topology says of them.

use super::{Resource, part};

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
    const IDS: [&str; 11] = [
        "i-", "sg-", "vsw-", "vpc-", "eni-", "lb-", "rm-", "rr-", "asg-", "sgp-", "rsp-",
    ];
    IDS.iter()
        .any(|prefix| id.starts_with(prefix))
        .then(|| format!("urn:aliyun:{}", part(id)))
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
        assert_eq!(aws("my-group"), None);
        assert_eq!(aws("arn:aws:rds:x").as_deref(), Some("urn:aws:arn%3Aaws%3Ards%3Ax"));
    }
}
