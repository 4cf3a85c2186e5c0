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
    let text =
        r#"{"VServerGroupId":"rsp-1","LoadBalancerId":"lb-1","BackendServers":{"BackendServer":[{"ServerId":"i-1"}]}}"#;
    let found = edges(text).unwrap().edges;
    let told: Vec<_> = found
        .iter()
        .map(|e| (e.src.as_str(), e.relation, e.dst.as_str()))
        .collect();
    assert_eq!(told, [("lb-1", ROUTES_TO, "rsp-1"), ("rsp-1", TARGETS, "i-1")]);
}

fn told(text: &str) -> Vec<String> {
    let found = edges(text).unwrap().edges;
    found
        .iter()
        .map(|e| format!("{} {} {}", e.src, e.relation, e.dst))
        .collect()
}

#[test]
fn security_groups_and_their_rules() {
    let text = r#"[{"SecurityGroupId":"sg-1","VpcId":"vpc-1","Permissions":{"Permission":[
            {"Direction":"ingress","SourceGroupId":"sg-2","DestGroupId":""},{"Direction":"egress","DestGroupId":"sg-3","SourceGroupId":""},
            {"Direction":"ingress","SourceGroupId":"","SourceCidrIp":"10.0.0.0/8"}]}},
        {"SecurityGroups":{"SecurityGroup":[{"SecurityGroupId":"sg-2","VpcId":"vpc-1"}]}}]"#;
    assert_eq!(
        told(text),
        [
            "sg-1 ALLOWS_FROM sg-2",
            "sg-1 ALLOWS_TO sg-3",
            "sg-1 IN_VPC vpc-1",
            "sg-2 IN_VPC vpc-1"
        ]
    );
}

#[test]
fn machines_and_scaling_groups() {
    let text = r#"[{"Instances":{"Instance":[{"InstanceId":"i-1","VpcAttributes":{"VpcId":"vpc-1","VSwitchId":"vsw-1"},
            "SecurityGroupIds":{"SecurityGroupId":["sg-1"]}}]}},
        {"NetworkInterfaceSets":{"NetworkInterfaceSet":[{"NetworkInterfaceId":"eni-1","InstanceId":"i-1"}]}},
        {"Disks":{"Disk":[{"DiskId":"d-1","InstanceId":"i-1"},{"DiskId":"d-2","InstanceId":""}]}},
        {"ScalingInstances":{"ScalingInstance":[{"InstanceId":"i-1","ScalingGroupId":"asg-1"}]}},
        {"ScalingGroups":{"ScalingGroup":[{"ScalingGroupId":"asg-1","VSwitchIds":{"VSwitchId":["vsw-1"]},
            "LoadBalancerIds":{"LoadBalancerId":["lb-1"]},"DBInstanceIds":{"DBInstanceId":["rm-1"]},
            "AlbServerGroups":{"AlbServerGroup":[{"AlbServerGroupId":"sgp-1"}]},"LaunchTemplateId":"lt-1"}]}}]"#;
    assert_eq!(
        told(text),
        [
            "asg-1 HAS_MEMBER i-1",
            "asg-1 IN_SUBNET vsw-1",
            "asg-1 LAUNCHES_FROM lt-1",
            "asg-1 USES rm-1",
            "i-1 HAS_INTERFACE eni-1",
            "i-1 HAS_VOLUME d-1",
            "i-1 IN_SUBNET vsw-1",
            "i-1 IN_VPC vpc-1",
            "i-1 USES_SECURITY_GROUP sg-1",
            "lb-1 TARGETS asg-1",
            "sgp-1 TARGETS asg-1"
        ]
    );
}

#[test]
fn listeners_lead_to_server_groups() {
    let slb = r#"{"RequestId":"r","Listeners":[{"LoadBalancerId":"lb-1","ListenerPort":80,"VServerGroupId":"rsp-1"},
        {"LoadBalancerId":"lb-1","ListenerPort":81,"VServerGroupId":""}]}"#;
    assert_eq!(told(slb), ["lb-1 ROUTES_TO rsp-1"]);
    let alb = r#"[{"Listeners":[{"ListenerId":"lsn-1","LoadBalancerId":"alb-1",
            "DefaultActions":[{"ForwardGroupConfig":{"ServerGroupTuples":[{"ServerGroupId":"sgp-1"}]}}]}]},
        {"Rules":[{"RuleId":"rule-1","RuleActions":[{"ForwardGroupConfig":{"ServerGroupTuples":[{"ServerGroupId":"sgp-2"}]}}]}]},
        {"ServerGroups":[{"ServerGroupId":"sgp-1","RelatedLoadBalancerIds":["alb-1"],"VpcId":"vpc-1"}]},
        {"Servers":[{"ServerGroupId":"sgp-1","ServerId":"i-1"}]},
        {"LoadBalancers":[{"LoadBalancerId":"alb-1","VpcId":"vpc-1"}]}]"#;
    assert_eq!(
        told(alb),
        [
            "alb-1 IN_VPC vpc-1",
            "alb-1 ROUTES_TO sgp-1",
            "lsn-1 LISTENER_OF alb-1",
            "lsn-1 ROUTES_TO sgp-1",
            "rule-1 ROUTES_TO sgp-2",
            "sgp-1 IN_VPC vpc-1",
            "sgp-1 TARGETS i-1"
        ]
    );
}

#[test]
fn databases_and_networks() {
    let text = r#"[{"Instances":{"KVStoreInstance":[{"InstanceId":"r-bp1zxszhcgatnx","VpcId":"vpc-1"}]}},
        {"DBInstances":{"DBInstance":[{"DBInstanceId":"dds-1","VPCId":"vpc-1","VSwitchId":"vsw-1"}]}},
        {"Items":{"DBInstance":[{"DBInstanceId":"pgm-1","VpcId":"vpc-1"}]}},
        {"Databases":{"Database":[{"DBName":"shop","DBInstanceId":"pgm-1","Engine":"PostgreSQL"}]}},
        {"Vpcs":{"Vpc":[{"VpcId":"vpc-1","VSwitchIds":{"VSwitchId":["vsw-1"]}}]}}]"#;
    assert_eq!(
        told(text),
        [
            "dds-1 IN_SUBNET vsw-1",
            "dds-1 IN_VPC vpc-1",
            "pgm-1 IN_VPC vpc-1",
            "r-bp1zxszhcgatnx IN_VPC vpc-1",
            "shop MEMBER_OF pgm-1",
            "vsw-1 IN_VPC vpc-1"
        ]
    );
    let found = edges(text).unwrap().edges;
    let shop = found.iter().find(|e| e.src == "shop").unwrap();
    assert_eq!(shop.src_urn.as_deref(), Some("urn:db:postgres:pgm-1/shop"));
    assert!(
        found.iter().all(|e| e.src_urn.is_some() && e.dst_urn.is_some()),
        "{found:?}"
    );
}

#[test]
fn groups_without_their_balancer_are_reported() {
    let found = edges(r#"{"VServerGroups":{"VServerGroup":[{"VServerGroupId":"rsp-1","ServerCount":2}]}}"#).unwrap();
    assert!(found.edges.is_empty());
    assert_eq!(found.unresolved[0].src, "VServerGroups");
}

#[test]
fn instances_and_load_balancers_are_known_by_their_addresses() {
    let text = r#"[{"Instances":{"Instance":[{"InstanceId":"i-1","HostName":"iZ1","EipAddress":{"IpAddress":""},
        "VpcAttributes":{"PrivateIpAddress":{"IpAddress":["10.0.0.1"]}},"PublicIpAddress":{"IpAddress":["203.0.113.1"]}}]}},
        {"LoadBalancers":{"LoadBalancer":[{"LoadBalancerId":"lb-1","Address":"203.0.113.2"}]}},
        {"LoadBalancerId":"lb-2","Address":"203.0.113.3"},
        {"LoadBalancers":[{"LoadBalancerId":"alb-1","DNSName":"alb-1.cn-hangzhou.alb.aliyuncs.com"}]}]"#;
    let of = |known: &crate::topology::Identity| format!("{} {}", known.urn.as_deref().unwrap_or("-"), known.known_as);
    assert_eq!(
        edges(text).unwrap().identities.iter().map(of).collect::<Vec<_>>(),
        [
            "urn:aliyun:alb-1 urn:balancer:alb-1.cn-hangzhou.alb.aliyuncs.com",
            "urn:aliyun:i-1 urn:host:10.0.0.1",
            "urn:aliyun:i-1 urn:host:203.0.113.1",
            "urn:aliyun:i-1 urn:host:iZ1",
            "urn:aliyun:lb-1 urn:balancer:203.0.113.2",
            "urn:aliyun:lb-2 urn:balancer:203.0.113.3",
        ]
    );
}
