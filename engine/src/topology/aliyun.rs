//! Answers of Aliyun (Alibaba Cloud): SLB, ALB, ECS, ESS, RDS, Redis, MongoDB, VPC. Lists are wrapped in a field named in the singular:
//! `Instances.Instance[]`. Field names: the response structures of the API references.

use serde_json::Value;

use super::cloud::{self, Kind, Known, Way, link};
use super::{Extracted, Role, TopologyError, json, names, relation::*};

/// Fields at the top of these answers that hold an object; AWS has lists there.
pub const WRAPPERS: [&str; 15] = [
    "Instances",
    "LoadBalancers",
    "Items",
    "ScalingGroups",
    "ScalingInstances",
    "VSwitches",
    "Vpcs",
    "BackendServers",
    "VServerGroups",
    "SecurityGroups",
    "Permissions",
    "NetworkInterfaceSets",
    "Disks",
    "DBInstances",
    "Databases",
];
/// Fields at the top that hold the identifier of an answer that is itself an object.
pub const OBJECTS: [&str; 3] = ["LoadBalancerId", "VServerGroupId", "ServerGroupId"];
/// Fields at the top that hold a list, beside the `RequestId` that every answer has.
pub const LISTS: [&str; 5] = ["Servers", "Listeners", "Rules", "LoadBalancers", "ServerGroups"];

/// # Errors
/// [`TopologyError::Syntax`], [`TopologyError::Limit`].
pub fn edges(text: &str) -> Result<Extracted, TopologyError> {
    cloud::edges(text, "Aliyun answer", KINDS, KNOWN, names::aliyun)
}

const KNOWN: &[Known] = &[
    Known {
        list: "Instances.Instance[]",
        id: "InstanceId",
        role: Role::Instance,
        addresses: &[
            "VpcAttributes.PrivateIpAddress.IpAddress[]",
            "InnerIpAddress.IpAddress[]",
            "PublicIpAddress.IpAddress[]",
            "EipAddress.IpAddress",
        ],
        names: &["HostName"],
    },
    // SLB: a list, and one with all attributes.
    Known {
        list: "LoadBalancers.LoadBalancer[]",
        id: "LoadBalancerId",
        role: Role::Balancer,
        addresses: &["Address"],
        names: &[],
    },
    Known {
        list: "",
        id: "LoadBalancerId",
        role: Role::Balancer,
        addresses: &["Address", "DNSName"],
        names: &[],
    },
    // ALB, NLB.
    Known {
        list: "LoadBalancers[]",
        id: "LoadBalancerId",
        role: Role::Balancer,
        addresses: &["DNSName"],
        names: &[],
    },
];

const KINDS: &[Kind] = &[
    Kind {
        list: "",
        id: "VServerGroupId",
        urn: by_id,
        links: SERVER_GROUP,
    },
    Kind {
        list: "VServerGroups.VServerGroup[]",
        id: "VServerGroupId",
        urn: by_id,
        links: SERVER_GROUP,
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
        list: "LoadBalancers[]",
        id: "LoadBalancerId",
        urn: by_id,
        links: BALANCER,
    },
    // SLB: its listeners have no identifier of their own.
    Kind {
        list: "Listeners[]",
        id: "LoadBalancerId",
        urn: by_id,
        links: &[link("VServerGroupId", ROUTES_TO, Way::Out)],
    },
    // ALB.
    Kind {
        list: "Listeners[]",
        id: "ListenerId",
        urn: by_id,
        links: &[
            link("LoadBalancerId", LISTENER_OF, Way::Out),
            link(
                "DefaultActions[].ForwardGroupConfig.ServerGroupTuples[].ServerGroupId",
                ROUTES_TO,
                Way::Out,
            ),
        ],
    },
    Kind {
        list: "Rules[]",
        id: "RuleId",
        urn: by_id,
        links: &[link(
            "RuleActions[].ForwardGroupConfig.ServerGroupTuples[].ServerGroupId",
            ROUTES_TO,
            Way::Out,
        )],
    },
    Kind {
        list: "ServerGroups[]",
        id: "ServerGroupId",
        urn: by_id,
        links: &[
            link("RelatedLoadBalancerIds[]", ROUTES_TO, Way::In),
            link("VpcId", IN_VPC, Way::Out),
        ],
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
        list: "",
        id: "SecurityGroupId",
        urn: by_id,
        links: &[
            link("Permissions.Permission[].SourceGroupId", ALLOWS_FROM, Way::Out),
            link("Permissions.Permission[].DestGroupId", ALLOWS_TO, Way::Out),
            link("VpcId", IN_VPC, Way::Out),
        ],
    },
    Kind {
        list: "SecurityGroups.SecurityGroup[]",
        id: "SecurityGroupId",
        urn: by_id,
        links: &[link("VpcId", IN_VPC, Way::Out)],
    },
    Kind {
        list: "NetworkInterfaceSets.NetworkInterfaceSet[]",
        id: "NetworkInterfaceId",
        urn: by_id,
        links: &[
            link("VpcId", IN_VPC, Way::Out),
            link("VSwitchId", IN_SUBNET, Way::Out),
            link("SecurityGroupIds.SecurityGroupId[]", USES_SECURITY_GROUP, Way::Out),
            link("InstanceId", HAS_INTERFACE, Way::In),
        ],
    },
    Kind {
        list: "Disks.Disk[]",
        id: "DiskId",
        urn: by_id,
        links: &[link("InstanceId", HAS_VOLUME, Way::In)],
    },
    Kind {
        list: "ScalingInstances.ScalingInstance[]",
        id: "InstanceId",
        urn: by_id,
        links: &[link("ScalingGroupId", HAS_MEMBER, Way::In)],
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
        list: "Databases.Database[]",
        id: "DBName",
        urn: |object, name| {
            let (engine, instance) = json::str_at(object, "Engine").zip(json::str_at(object, "DBInstanceId"))?;
            names::database(engine, instance, name)
        },
        links: &[link("DBInstanceId", MEMBER_OF, Way::Out)],
    },
    // Redis.
    Kind {
        list: "Instances.KVStoreInstance[]",
        id: "InstanceId",
        urn: by_id,
        links: &[link("VpcId", IN_VPC, Way::Out), link("VSwitchId", IN_SUBNET, Way::Out)],
    },
    // MongoDB: the list of instances says nothing of networks, their attributes do.
    Kind {
        list: "DBInstances.DBInstance[]",
        id: "DBInstanceId",
        urn: by_id,
        links: &[link("VPCId", IN_VPC, Way::Out), link("VSwitchId", IN_SUBNET, Way::Out)],
    },
    Kind {
        list: "VSwitches.VSwitch[]",
        id: "VSwitchId",
        urn: by_id,
        links: &[link("VpcId", IN_VPC, Way::Out)],
    },
    Kind {
        list: "Vpcs.Vpc[]",
        id: "VpcId",
        urn: by_id,
        links: &[link("VSwitchIds.VSwitchId[]", IN_VPC, Way::In)],
    },
];

const SERVER_GROUP: &[cloud::Link] = &[
    link("BackendServers.BackendServer[].ServerId", TARGETS, Way::Out),
    link("LoadBalancerId", ROUTES_TO, Way::In),
];

const BALANCER: &[cloud::Link] = &[
    link("VpcId", IN_VPC, Way::Out),
    link("VSwitchId", IN_SUBNET, Way::Out),
    link("ZoneMappings[].VSwitchId", IN_SUBNET, Way::Out),
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
mod tests;
