//! The names of relations. An edge reads `src RELATION dst`.

/// Needs it: declared by infrastructure code, or an application's endpoint.
pub const DEPENDS_ON: &str = "DEPENDS_ON";
/// Pulumi: belongs to a component.
pub const PART_OF: &str = "PART_OF";
/// Kubernetes Service to the Pods or workloads that its selector matches.
pub const SELECTS: &str = "SELECTS";
/// Kubernetes Ingress or route to a Service.
pub const ROUTES: &str = "ROUTES";
/// Load balancer to target group.
pub const ROUTES_TO: &str = "ROUTES_TO";
/// Kubernetes ownerReferences: the owned to its owner.
pub const OWNED_BY: &str = "OWNED_BY";
/// Pod to Node, service to host.
pub const RUNS_ON: &str = "RUNS_ON";
/// Configuration, secrets, volumes, service accounts.
pub const USES: &str = "USES";
/// Kubernetes Service of type ExternalName to that name.
pub const ALIASES: &str = "ALIASES";
/// Group to member.
pub const CONTAINS: &str = "CONTAINS";
pub const IN_SUBNET: &str = "IN_SUBNET";
pub const IN_VPC: &str = "IN_VPC";
pub const USES_SECURITY_GROUP: &str = "USES_SECURITY_GROUP";
/// Security group to a group whose traffic it lets in.
pub const ALLOWS_FROM: &str = "ALLOWS_FROM";
/// Security group to a group that it lets traffic out to.
pub const ALLOWS_TO: &str = "ALLOWS_TO";
/// Scaling group to instance.
pub const HAS_MEMBER: &str = "HAS_MEMBER";
/// Database instance to its cluster, database to its instance.
pub const MEMBER_OF: &str = "MEMBER_OF";
/// Listener to load balancer.
pub const LISTENER_OF: &str = "LISTENER_OF";
/// Target group or load balancer to what answers.
pub const TARGETS: &str = "TARGETS";
/// Scaling group to launch template or configuration.
pub const LAUNCHES_FROM: &str = "LAUNCHES_FROM";
/// Replica to its primary.
pub const REPLICA_OF: &str = "REPLICA_OF";
/// Instance to network interface.
pub const HAS_INTERFACE: &str = "HAS_INTERFACE";
/// Instance to disk.
pub const HAS_VOLUME: &str = "HAS_VOLUME";
/// Instance to instance profile or role.
pub const USES_ROLE: &str = "USES_ROLE";
