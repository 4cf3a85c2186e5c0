//! What `aws ... describe-*` prints: elb, elbv2, autoscaling, ec2, rds.
//!
//! Field names: the API references of the services. `describe-target-health` does not name its target group; give it
//! as `{"TargetGroupArn": .., "TargetHealthDescriptions": [..]}`, several in a list under `TargetHealth`.

use serde_json::Value;

use super::cloud::{self, Kind, Known, Way, link, link_to};
use super::{Extracted, Role, TopologyError, json, names, relation::*};

/// Fields at the top of these answers.
pub const MARKS: [&str; 22] = [
    "LoadBalancers",
    "LoadBalancerDescriptions",
    "Listeners",
    "Rules",
    "TargetGroups",
    "TargetHealth",
    "TargetHealthDescriptions",
    "AutoScalingGroups",
    "Reservations",
    "SecurityGroups",
    "DBInstances",
    "DBClusters",
    "Subnets",
    "NetworkInterfaces",
    "Vpcs",
    "SecurityGroupRules",
    "DBSubnetGroups",
    "DBProxies",
    "LaunchTemplates",
    "LaunchTemplateVersions",
    "LaunchConfigurations",
    "Volumes",
];

/// # Errors
/// [`TopologyError::Syntax`], [`TopologyError::Limit`].
pub fn edges(text: &str) -> Result<Extracted, TopologyError> {
    cloud::edges(text, "AWS answer", KINDS, KNOWN, names::aws)
}

// Of an interface the primary address only: the others may be those of Pods.
const KNOWN: &[Known] = &[
    Known {
        list: "Reservations[].Instances[]",
        id: "InstanceId",
        role: Role::Instance,
        addresses: &[
            "PrivateIpAddress",
            "PublicIpAddress",
            "PublicDnsName",
            "NetworkInterfaces[].PrivateIpAddress",
            "NetworkInterfaces[].Association.PublicIp",
        ],
        names: &["PrivateDnsName"],
    },
    Known {
        list: "LoadBalancers[]",
        id: "LoadBalancerArn",
        role: Role::Balancer,
        addresses: &["DNSName"],
        names: &[],
    },
    Known {
        list: "LoadBalancerDescriptions[]",
        id: "LoadBalancerName",
        role: Role::Balancer,
        addresses: &["DNSName"],
        names: &[],
    },
];

const KINDS: &[Kind] = &[
    Kind {
        list: "LoadBalancers[]",
        id: "LoadBalancerArn",
        urn: by_id,
        links: &[
            link("SecurityGroups[]", USES_SECURITY_GROUP, Way::Out),
            link("AvailabilityZones[].SubnetId", IN_SUBNET, Way::Out),
            link("VpcId", IN_VPC, Way::Out),
        ],
    },
    Kind {
        list: "LoadBalancerDescriptions[]",
        id: "LoadBalancerName",
        urn: by_id,
        links: &[
            link("Instances[].InstanceId", TARGETS, Way::Out),
            link("SecurityGroups[]", USES_SECURITY_GROUP, Way::Out),
            link("Subnets[]", IN_SUBNET, Way::Out),
            link("VPCId", IN_VPC, Way::Out),
        ],
    },
    Kind {
        list: "Listeners[]",
        id: "ListenerArn",
        urn: by_id,
        links: &[
            link("LoadBalancerArn", LISTENER_OF, Way::Out),
            link("DefaultActions[].TargetGroupArn", ROUTES_TO, Way::Out),
            link(
                "DefaultActions[].ForwardConfig.TargetGroups[].TargetGroupArn",
                ROUTES_TO,
                Way::Out,
            ),
        ],
    },
    Kind {
        list: "Rules[]",
        id: "RuleArn",
        urn: by_id,
        links: &[
            link("Actions[].TargetGroupArn", ROUTES_TO, Way::Out),
            link(
                "Actions[].ForwardConfig.TargetGroups[].TargetGroupArn",
                ROUTES_TO,
                Way::Out,
            ),
        ],
    },
    Kind {
        list: "TargetGroups[]",
        id: "TargetGroupArn",
        urn: by_id,
        links: &[
            link("LoadBalancerArns[]", ROUTES_TO, Way::In),
            link("VpcId", IN_VPC, Way::Out),
        ],
    },
    Kind {
        list: "TargetHealth[]",
        id: "TargetGroupArn",
        urn: by_id,
        links: TARGET_HEALTH,
    },
    Kind {
        list: "",
        id: "TargetGroupArn",
        urn: by_id,
        links: TARGET_HEALTH,
    },
    Kind {
        list: "AutoScalingGroups[]",
        id: "AutoScalingGroupName",
        urn: |object, _| json::str_at(object, "AutoScalingGroupARN").and_then(names::aws),
        links: &[
            link("VPCZoneIdentifier", IN_SUBNET, Way::OutList),
            link("Instances[].InstanceId", HAS_MEMBER, Way::Out),
            link_to(
                "LaunchConfigurationName",
                LAUNCHES_FROM,
                Way::Out,
                "LaunchConfigurations[]",
            ),
            link("LaunchTemplate.LaunchTemplateId", LAUNCHES_FROM, Way::Out),
            link(
                "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateId",
                LAUNCHES_FROM,
                Way::Out,
            ),
            link("TargetGroupARNs[]", TARGETS, Way::In),
            link("LoadBalancerNames[]", TARGETS, Way::In),
        ],
    },
    Kind {
        list: "Reservations[].Instances[]",
        id: "InstanceId",
        urn: by_id,
        links: &[
            link("SubnetId", IN_SUBNET, Way::Out),
            link("VpcId", IN_VPC, Way::Out),
            link("SecurityGroups[].GroupId", USES_SECURITY_GROUP, Way::Out),
            link("NetworkInterfaces[].NetworkInterfaceId", HAS_INTERFACE, Way::Out),
            link("BlockDeviceMappings[].Ebs.VolumeId", HAS_VOLUME, Way::Out),
            link("IamInstanceProfile.Arn", USES_ROLE, Way::Out),
        ],
    },
    Kind {
        list: "SecurityGroups[]",
        id: "GroupId",
        urn: by_id,
        links: &[
            link("IpPermissions[].UserIdGroupPairs[].GroupId", ALLOWS_FROM, Way::Out),
            link("IpPermissionsEgress[].UserIdGroupPairs[].GroupId", ALLOWS_TO, Way::Out),
            link("VpcId", IN_VPC, Way::Out),
        ],
    },
    Kind {
        list: "DBInstances[]",
        id: "DBInstanceIdentifier",
        urn: |object, id| {
            database(
                object,
                json::str_at(object, "DBClusterIdentifier").unwrap_or(id),
                "DBName",
                "DBInstanceArn",
            )
        },
        links: &[
            link("DBSubnetGroup.Subnets[].SubnetIdentifier", IN_SUBNET, Way::Out),
            link("DBSubnetGroup.VpcId", IN_VPC, Way::Out),
            link("VpcSecurityGroups[].VpcSecurityGroupId", USES_SECURITY_GROUP, Way::Out),
            link_to(
                "ReadReplicaSourceDBInstanceIdentifier",
                REPLICA_OF,
                Way::OutName,
                "DBInstances[]",
            ),
            link_to("DBClusterIdentifier", MEMBER_OF, Way::Out, "DBClusters[]"),
        ],
    },
    Kind {
        list: "DBClusters[]",
        id: "DBClusterIdentifier",
        urn: |object, id| database(object, id, "DatabaseName", "DBClusterArn"),
        links: &[
            link("VpcSecurityGroups[].VpcSecurityGroupId", USES_SECURITY_GROUP, Way::Out),
            link_to(
                "DBClusterMembers[].DBInstanceIdentifier",
                MEMBER_OF,
                Way::In,
                "DBInstances[]",
            ),
            link_to("ReplicationSourceIdentifier", REPLICA_OF, Way::OutName, "DBClusters[]"),
        ],
    },
    Kind {
        list: "Subnets[]",
        id: "SubnetId",
        urn: by_id,
        links: &[link("VpcId", IN_VPC, Way::Out)],
    },
    Kind {
        list: "NetworkInterfaces[]",
        id: "NetworkInterfaceId",
        urn: by_id,
        links: &[
            link("SubnetId", IN_SUBNET, Way::Out),
            link("VpcId", IN_VPC, Way::Out),
            link("Groups[].GroupId", USES_SECURITY_GROUP, Way::Out),
            link("Attachment.InstanceId", HAS_INTERFACE, Way::In),
        ],
    },
    Kind {
        list: "SecurityGroupRules[IsEgress=false]",
        id: "GroupId",
        urn: by_id,
        links: &[link("ReferencedGroupInfo.GroupId", ALLOWS_FROM, Way::Out)],
    },
    Kind {
        list: "SecurityGroupRules[IsEgress=true]",
        id: "GroupId",
        urn: by_id,
        links: &[link("ReferencedGroupInfo.GroupId", ALLOWS_TO, Way::Out)],
    },
    Kind {
        list: "DBSubnetGroups[]",
        id: "DBSubnetGroupName",
        urn: |object, _| json::str_at(object, "DBSubnetGroupArn").and_then(names::aws),
        links: &[
            link("VpcId", IN_VPC, Way::Out),
            link("Subnets[].SubnetIdentifier", IN_SUBNET, Way::Out),
        ],
    },
    Kind {
        list: "DBProxies[]",
        id: "DBProxyName",
        urn: |object, _| json::str_at(object, "DBProxyArn").and_then(names::aws),
        links: &[
            link("VpcId", IN_VPC, Way::Out),
            link("VpcSubnetIds[]", IN_SUBNET, Way::Out),
            link("VpcSecurityGroupIds[]", USES_SECURITY_GROUP, Way::Out),
            link("RoleArn", USES_ROLE, Way::Out),
        ],
    },
    Kind {
        list: "LaunchTemplates[]",
        id: "LaunchTemplateId",
        urn: by_id,
        links: &[],
    },
    Kind {
        list: "LaunchTemplateVersions[]",
        id: "LaunchTemplateId",
        urn: by_id,
        links: &[
            link("LaunchTemplateData.SecurityGroupIds[]", USES_SECURITY_GROUP, Way::Out),
            link(
                "LaunchTemplateData.NetworkInterfaces[].Groups[]",
                USES_SECURITY_GROUP,
                Way::Out,
            ),
            link("LaunchTemplateData.NetworkInterfaces[].SubnetId", IN_SUBNET, Way::Out),
            link("LaunchTemplateData.IamInstanceProfile.Arn", USES_ROLE, Way::Out),
        ],
    },
    Kind {
        list: "LaunchConfigurations[]",
        id: "LaunchConfigurationName",
        urn: |object, _| json::str_at(object, "LaunchConfigurationARN").and_then(names::aws),
        links: &[
            link("SecurityGroups[]", USES_SECURITY_GROUP, Way::Out),
            link("IamInstanceProfile", USES_ROLE, Way::Out),
        ],
    },
    Kind {
        list: "Volumes[]",
        id: "VolumeId",
        urn: by_id,
        links: &[link("Attachments[].InstanceId", HAS_VOLUME, Way::In)],
    },
    Kind {
        list: "Vpcs[]",
        id: "VpcId",
        urn: by_id,
        links: &[],
    },
];

const TARGET_HEALTH: &[cloud::Link] = &[link("TargetHealthDescriptions[].Target.Id", TARGETS, Way::Out)];

fn by_id(_: &Value, id: &str) -> Option<String> {
    names::aws(id)
}

/// A database by what connection strings name, or by its ARN when the answer does not say which database it holds.
fn database(object: &Value, cluster: &str, name: &str, arn: &str) -> Option<String> {
    json::str_at(object, "Engine")
        .zip(json::str_at(object, name))
        .and_then(|(engine, name)| names::database(engine, cluster, name))
        .or_else(|| json::str_at(object, arn).and_then(names::aws))
}

#[cfg(test)]
mod tests;
