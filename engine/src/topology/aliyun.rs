//! Answers of Aliyun (Alibaba Cloud): SLB, ALB, ECS, ESS, RDS. Lists are wrapped in a field named in the singular:
//! `Instances.Instance[]`. Field names: the response structures of the API references.

use serde_json::Value;

use super::cloud::{self, Kind, Way, link};
use super::{Extracted, TopologyError, names, relation::*};

/// Fields at the top of these answers that hold an object; AWS has lists there.
pub const WRAPPERS: [&str; 6] = [
    "Instances",
    "LoadBalancers",
    "Items",
    "ScalingGroups",
    "VSwitches",
    "BackendServers",
];

/// # Errors
/// [`TopologyError::Syntax`], [`TopologyError::Limit`].
pub fn edges(text: &str) -> Result<Extracted, TopologyError> {
    cloud::edges(text, "Aliyun answer", KINDS, names::aliyun)
}

const KINDS: &[Kind] = &[
    Kind {
        list: "",
        id: "VServerGroupId",
        urn: by_id,
        links: &[
            link("BackendServers.BackendServer[].ServerId", TARGETS, Way::Out),
            link("LoadBalancerId", ROUTES_TO, Way::In),
        ],
    },
    Kind {
        list: "",
        id: "LoadBalancerId",
        urn: by_id,
        links: BALANCER,
    },
    Kind {
        list: "LoadBalancers.LoadBalancer[]",
        id: "LoadBalancerId",
        urn: by_id,
        links: BALANCER,
    },
    Kind {
        list: "Servers[]",
        id: "ServerGroupId",
        urn: by_id,
        links: &[link("ServerId", TARGETS, Way::Out)],
    },
    Kind {
        list: "Instances.Instance[]",
        id: "InstanceId",
        urn: by_id,
        links: &[
            link("VpcAttributes.VpcId", IN_VPC, Way::Out),
            link("VpcAttributes.VSwitchId", IN_SUBNET, Way::Out),
            link("SecurityGroupIds.SecurityGroupId[]", USES_SECURITY_GROUP, Way::Out),
            link(
                "NetworkInterfaces.NetworkInterface[].NetworkInterfaceId",
                HAS_INTERFACE,
                Way::Out,
            ),
        ],
    },
    Kind {
        list: "ScalingGroups.ScalingGroup[]",
        id: "ScalingGroupId",
        urn: by_id,
        links: &[
            link("VpcId", IN_VPC, Way::Out),
            link("VSwitchId", IN_SUBNET, Way::Out),
            link("VSwitchIds.VSwitchId[]", IN_SUBNET, Way::Out),
            link("LoadBalancerIds.LoadBalancerId[]", TARGETS, Way::In),
            link("VServerGroups.VServerGroup[].LoadBalancerId", TARGETS, Way::In),
            link("AlbServerGroups.AlbServerGroup[].AlbServerGroupId", TARGETS, Way::In),
            link("DBInstanceIds.DBInstanceId[]", USES, Way::Out),
            link("LaunchTemplateId", LAUNCHES_FROM, Way::Out),
            link("ActiveScalingConfigurationId", LAUNCHES_FROM, Way::Out),
        ],
    },
    Kind {
        list: "Items.DBInstance[]",
        id: "DBInstanceId",
        urn: by_id,
        links: DATABASE,
    },
    Kind {
        list: "Items.DBInstanceAttribute[]",
        id: "DBInstanceId",
        urn: by_id,
        links: DATABASE,
    },
    Kind {
        list: "VSwitches.VSwitch[]",
        id: "VSwitchId",
        urn: by_id,
        links: &[link("VpcId", IN_VPC, Way::Out)],
    },
];

const BALANCER: &[cloud::Link] = &[
    link("VpcId", IN_VPC, Way::Out),
    link("VSwitchId", IN_SUBNET, Way::Out),
    link("BackendServers.BackendServer[].ServerId", TARGETS, Way::Out),
];

const DATABASE: &[cloud::Link] = &[
    link("VpcId", IN_VPC, Way::Out),
    link("VSwitchId", IN_SUBNET, Way::Out),
    link("MasterInstanceId", REPLICA_OF, Way::Out),
    link(
        "ReadOnlyDBInstanceIds.ReadOnlyDBInstanceId[].DBInstanceId",
        REPLICA_OF,
        Way::In,
    ),
];

fn by_id(_: &Value, id: &str) -> Option<String> {
    names::aliyun(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_replica_are_one_edge() {
        let text = r#"{"Items":{"DBInstance":[{"DBInstanceId":"rm-1","ReadOnlyDBInstanceIds":{"ReadOnlyDBInstanceId":[{"DBInstanceId":"rr-1"}]}},
            {"DBInstanceId":"rr-1","MasterInstanceId":"rm-1"}]}}"#;
        let found = edges(text).unwrap().edges;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].src.as_str(), found[0].relation, found[0].dst.as_str()),
            ("rr-1", REPLICA_OF, "rm-1")
        );
        assert_eq!(found[0].evidence.at.len(), 2);
    }

    #[test]
    fn a_server_group_stands_between_balancer_and_backend() {
        let text = r#"{"VServerGroupId":"rsp-1","LoadBalancerId":"lb-1","BackendServers":{"BackendServer":[{"ServerId":"i-1"}]}}"#;
        let found = edges(text).unwrap().edges;
        let told: Vec<_> = found
            .iter()
            .map(|e| (e.src.as_str(), e.relation, e.dst.as_str()))
            .collect();
        assert_eq!(told, [("lb-1", ROUTES_TO, "rsp-1"), ("rsp-1", TARGETS, "i-1")]);
    }
}
