use super::*;

fn told(text: &str) -> Vec<String> {
    let found = edges(text).unwrap();
    found
        .edges
        .iter()
        .map(|e| format!("{} {} {}", e.src, e.relation, e.dst))
        .collect()
}

#[test]
fn instances_and_groups() {
    let text = r#"{"Reservations":[{"Instances":[{"InstanceId":"i-1","VpcId":"vpc-1","SecurityGroups":[{"GroupId":"sg-1"}],
        "BlockDeviceMappings":[{"Ebs":{"VolumeId":"vol-1"}}]},{"State":{}}]}]}"#;
    assert_eq!(
        told(text),
        [
            "i-1 HAS_VOLUME vol-1",
            "i-1 IN_VPC vpc-1",
            "i-1 USES_SECURITY_GROUP sg-1"
        ]
    );
    let text = r#"{"AutoScalingGroups":[{"AutoScalingGroupName":"g","VPCZoneIdentifier":"subnet-1, subnet-2","TargetGroupARNs":["arn:t"]}]}"#;
    assert_eq!(
        told(text),
        ["arn:t TARGETS g", "g IN_SUBNET subnet-1", "g IN_SUBNET subnet-2"]
    );
}

#[test]
fn databases_have_the_name_of_connection_strings() {
    let text = r#"{"DBInstances":[{"DBInstanceIdentifier":"main-0","DBClusterIdentifier":"main","Engine":"aurora-postgresql",
        "DBName":"shop","ReadReplicaSourceDBInstanceIdentifier":"arn:aws:rds:eu-west-1:1:db:old"}]}"#;
    assert_eq!(told(text), ["main-0 MEMBER_OF main", "main-0 REPLICA_OF old"]);
    assert_eq!(
        edges(text).unwrap().edges[0].src_urn.as_deref(),
        Some("urn:db:postgres:main/shop")
    );
}

/// `src -> dst` by URN.
fn urns(text: &str) -> Vec<String> {
    let told = |urn: &Option<String>| urn.clone().unwrap_or_else(|| "-".to_owned());
    let found = edges(text).unwrap().edges;
    found
        .iter()
        .map(|e| format!("{} {} {}", told(&e.src_urn), e.relation, told(&e.dst_urn)))
        .collect()
}

#[test]
fn a_database_has_one_name_whoever_speaks_of_it() {
    let primary = r#"{"DBInstanceIdentifier":"old","Engine":"postgres","DBName":"shop","DBInstanceArn":"arn:aws:rds:eu-west-1:1:db:old"}"#;
    for source in ["old", "arn:aws:rds:eu-west-1:1:db:old"] {
        let text = format!(
            r#"[{{"DBInstances":[{{"DBInstanceIdentifier":"copy","Engine":"postgres","DBName":"shop",
                "ReadReplicaSourceDBInstanceIdentifier":"{source}"}}]}},{{"DBInstances":[{primary}]}}]"#
        );
        assert_eq!(told(&text), ["copy REPLICA_OF old"]);
        assert_eq!(
            urns(&text),
            ["urn:db:postgres:copy/shop REPLICA_OF urn:db:postgres:old/shop"]
        );
    }
    // A namesake of another region is another one, and so is the ARN's owner when the input lacks it.
    let text = format!(
        r#"{{"DBInstances":[{primary},{{"DBInstanceIdentifier":"copy","DBInstanceArn":"arn:aws:rds:eu-west-1:1:db:copy",
            "ReadReplicaSourceDBInstanceIdentifier":"arn:aws:rds:us-east-1:1:db:old"}}]}}"#
    );
    assert_eq!(
        urns(&text),
        [
            "urn:aws:arn%3Aaws%3Ards%3Aeu-west-1%3A1%3Adb%3Acopy REPLICA_OF urn:aws:arn%3Aaws%3Ards%3Aus-east-1%3A1%3Adb%3Aold"
        ]
    );
    // Two of one name: neither is taken.
    let text = r#"{"DBInstances":[{"DBInstanceIdentifier":"a","DBInstanceArn":"arn:x:db:a"},{"DBInstanceIdentifier":"a","DBInstanceArn":"arn:y:db:a"},
        {"DBInstanceIdentifier":"b","ReadReplicaSourceDBInstanceIdentifier":"a"}]}"#;
    assert_eq!(urns(text), ["- REPLICA_OF -"]);
}

#[test]
fn a_member_and_its_cluster_may_be_one_database() {
    let text = r#"[{"DBClusters":[{"DBClusterIdentifier":"main","Engine":"aurora-mysql","DatabaseName":"shop",
            "DBClusterMembers":[{"DBInstanceIdentifier":"main-0"}]}]},
        {"DBInstances":[{"DBInstanceIdentifier":"main-0","Engine":"aurora-mysql","DBName":"shop","DBClusterIdentifier":"main",
            "DBSubnetGroup":{"VpcId":"vpc-1"}}]},
        {"SecurityGroups":[{"GroupId":"sg-1","IpPermissions":[{"UserIdGroupPairs":[{"GroupId":"sg-1"}]}]}]}]"#;
    let found = edges(text).unwrap().edges;
    let within: Vec<_> = found.iter().filter(|edge| edge.is_within_one_thing()).collect();
    assert_eq!(within.len(), 1);
    assert_eq!((within[0].src.as_str(), within[0].relation), ("main-0", MEMBER_OF));
    // A group that lets itself in says something.
    assert_eq!(found.len(), 3);
}

#[test]
fn members_and_their_cluster_are_named_by_their_own_fields() {
    let text = r#"[{"DBClusters":[{"DBClusterIdentifier":"main","DBClusterArn":"arn:c:cluster:main",
            "DBClusterMembers":[{"DBInstanceIdentifier":"main-0"},{"DBInstanceIdentifier":"main-1"}]}]},
        {"DBInstances":[{"DBInstanceIdentifier":"main-0","DBInstanceArn":"arn:i:db:main-0","DBClusterIdentifier":"main"}]}]"#;
    assert_eq!(told(text), ["main-0 MEMBER_OF main", "main-1 MEMBER_OF main"]);
    assert_eq!(
        urns(text),
        [
            "urn:aws:arn%3Ai%3Adb%3Amain-0 MEMBER_OF urn:aws:arn%3Ac%3Acluster%3Amain",
            "- MEMBER_OF urn:aws:arn%3Ac%3Acluster%3Amain"
        ]
    );
}

#[test]
fn rules_templates_and_proxies() {
    let text = r#"[{"SecurityGroupRules":[
            {"SecurityGroupRuleId":"sgr-1","GroupId":"sg-1","IsEgress":false,"ReferencedGroupInfo":{"GroupId":"sg-2"}},
            {"SecurityGroupRuleId":"sgr-2","GroupId":"sg-1","IsEgress":true,"ReferencedGroupInfo":{"GroupId":"sg-3"}},
            {"SecurityGroupRuleId":"sgr-3","GroupId":"sg-1","IsEgress":true,"CidrIpv4":"0.0.0.0/0"}]},
        {"DBSubnetGroups":[{"DBSubnetGroupName":"g","VpcId":"vpc-1","Subnets":[{"SubnetIdentifier":"subnet-1"}]}]},
        {"DBProxies":[{"DBProxyName":"p","VpcSubnetIds":["subnet-1"],"VpcSecurityGroupIds":["sg-1"]}]},
        {"LaunchConfigurations":[{"LaunchConfigurationName":"c","LaunchConfigurationARN":"arn:c","SecurityGroups":["sg-1"]}]},
        {"AutoScalingGroups":[{"AutoScalingGroupName":"a","LaunchConfigurationName":"c"}]},
        {"LaunchTemplateVersions":[{"LaunchTemplateId":"lt-1","LaunchTemplateData":{"NetworkInterfaces":[{"Groups":["sg-1"]}]}}]},
        {"LaunchTemplates":[{"LaunchTemplateId":"lt-1"}]},{"Vpcs":[{"VpcId":"vpc-1"}]},
        {"Volumes":[{"VolumeId":"vol-1","Attachments":[{"InstanceId":"i-1"}]}]}]"#;
    assert_eq!(
        told(text),
        [
            "a LAUNCHES_FROM c",
            "c USES_SECURITY_GROUP sg-1",
            "g IN_SUBNET subnet-1",
            "g IN_VPC vpc-1",
            "i-1 HAS_VOLUME vol-1",
            "lt-1 USES_SECURITY_GROUP sg-1",
            "p IN_SUBNET subnet-1",
            "p USES_SECURITY_GROUP sg-1",
            "sg-1 ALLOWS_FROM sg-2",
            "sg-1 ALLOWS_TO sg-3"
        ]
    );
    assert!(edges(text).unwrap().unresolved.is_empty());
    assert_eq!(urns(text)[0], "- LAUNCHES_FROM urn:aws:arn%3Ac");
}

#[test]
fn objects_that_name_nothing_are_reported() {
    let lost = |text: &str| -> Vec<String> {
        let found = edges(text).unwrap();
        assert!(found.edges.is_empty());
        found
            .unresolved
            .iter()
            .map(|u| format!("{} {}", u.src, u.reference))
            .collect()
    };
    assert_eq!(
        lost(r#"{"Listeners":[{"LoadBalancerId":"lb-1","VServerGroupId":"rsp-1"}]}"#),
        ["Listeners identifiers"]
    );
    assert_eq!(
        lost(r#"{"Instances":{"Instance":[{"InstanceId":"i-1"}]}}"#),
        ["Instances identifiers"]
    );
    // An account without such objects, and objects that stand for themselves.
    for text in [
        r#"{"Listeners":[]}"#,
        r#"{"Vpcs":[{"VpcId":"vpc-1"}],"Tags":[]}"#,
        r#"{"NextToken":"x"}"#,
    ] {
        assert_eq!(lost(text), [""; 0]);
    }
}

#[test]
fn target_health_without_its_group_is_unresolved() {
    let found = edges(r#"{"TargetHealthDescriptions":[{"Target":{"Id":"i-1"}}]}"#).unwrap();
    assert!(found.edges.is_empty() && found.unresolved.len() == 1);
}

#[test]
fn instances_and_load_balancers_are_known_by_their_addresses() {
    let text = r#"{"Reservations":[{"Instances":[{"InstanceId":"i-1","PrivateIpAddress":"10.0.0.1","PublicIpAddress":"203.0.113.1",
        "PrivateDnsName":"ip-10-0-0-1.ec2.internal","PublicDnsName":"","NetworkInterfaces":[{"PrivateIpAddress":"10.0.0.1",
        "PrivateIpAddresses":[{"PrivateIpAddress":"10.0.0.1"},{"PrivateIpAddress":"10.0.0.77"}]}]}]}]}"#;
    let balancers = r#"{"LoadBalancers":[{"LoadBalancerArn":"arn:l","DNSName":"L-1.elb.amazonaws.com"}],
        "LoadBalancerDescriptions":[{"LoadBalancerName":"classic","DNSName":"classic-1.elb.amazonaws.com"}]}"#;
    let told = |text: &str| -> Vec<String> {
        let of = |known: &crate::topology::Identity| {
            let urn = known.urn.as_deref().unwrap_or("-");
            format!("{} {urn} {} {}", known.thing, known.role.name(), known.known_as)
        };
        edges(text).unwrap().identities.iter().map(of).collect()
    };
    assert_eq!(
        told(text),
        [
            "i-1 urn:aws:i-1 instance urn:host:10.0.0.1",
            "i-1 urn:aws:i-1 instance urn:host:203.0.113.1",
            "i-1 urn:aws:i-1 instance urn:host:ip-10-0-0-1",
            "i-1 urn:aws:i-1 instance urn:host:ip-10-0-0-1.ec2.internal",
        ]
    );
    assert_eq!(
        told(balancers),
        [
            "arn:l urn:aws:arn%3Al balancer urn:balancer:l-1.elb.amazonaws.com",
            "classic - balancer urn:balancer:classic-1.elb.amazonaws.com",
        ]
    );
}
