//! Topology: what infrastructure code, cloud APIs and manifests declare, as edges. Pure: bytes in, edges out.
//!
//! Identifiers are those of the source format; `urn:` names are added where the input says enough. What cannot be
//! known without running something is reported as [`Unresolved`], never guessed. Secrets of the input reach neither
//! an edge, nor evidence, nor an error.
//!
//! ```
//! use engine::topology::{Format, extract};
//! let template = b"Resources:\n  Vpc: {Type: AWS::EC2::VPC}\n  Net: {Properties: {VpcId: !Ref Vpc}}\n";
//! let found = extract(template, Format::detect(template)?)?;
//! assert_eq!((found.edges[0].src.as_str(), found.edges[0].dst.as_str()), ("Net", "Vpc"));
//! # Ok::<(), engine::topology::TopologyError>(())
//! ```

mod aliyun;
pub mod ansible;
mod aws;
mod cloud;
mod cloudformation;
mod edge;
mod endpoint;
mod error;
mod format;
mod identity;
mod json;
mod kubernetes;
mod pulumi;
pub mod relation;
mod terraform;
mod yaml;

use crate::urn::declared as names;
pub use edge::{Class, Edge, Evidence, Extracted, MAX_PLACES, Reason, Unresolved};
use edge::{is_id, place};
pub use error::TopologyError;
pub use format::Format;
pub use identity::{Identity, Role};

/// The namespace of Kubernetes objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What `content` declares.
///
/// Takes time linear in the input. Terraform and Pulumi inputs may have up to 128 MB, JSON of Kubernetes as well,
/// others up to 32 MB.
///
/// # Errors
/// [`TopologyError`]: not UTF-8, broken syntax, too large or too deep, or not of this format.
pub fn extract(content: &[u8], format: Format) -> Result<Extracted, TopologyError> {
    extract_in(content, format, DEFAULT_NAMESPACE)
}

/// [`extract`] with another namespace for Kubernetes objects that name none: that of `kubectl apply -n`.
///
/// # Errors
/// As [`extract`].
pub fn extract_in(content: &[u8], format: Format, namespace: &str) -> Result<Extracted, TopologyError> {
    let streamed = || json::text(content, json::MAX_STREAMED_BYTES);
    let tree = || json::text(content, json::MAX_TREE_BYTES);
    match format {
        Format::TerraformState => terraform::state_edges(streamed()?),
        Format::TerraformShow => terraform::show_edges(streamed()?),
        Format::TerraformPlan => terraform::plan_edges(streamed()?),
        Format::TerraformGraph => match Format::detect(content)? {
            Format::TerraformState => terraform::state_graph(streamed()?),
            Format::TerraformShow => terraform::show_graph(streamed()?),
            Format::TerraformPlan => terraform::plan_graph(streamed()?),
            _ => Err(TopologyError::Unsupported {
                format: "Terraform graph",
                what: "neither a state nor a plan",
                hint: "Give the output of `terraform state pull` or of `terraform show -json`.",
            }),
        },
        Format::Pulumi => pulumi::edges(streamed()?),
        Format::CloudFormation => cloudformation::edges(tree()?),
        Format::Aws => aws::edges(tree()?),
        Format::Aliyun => aliyun::edges(tree()?),
        Format::Kubernetes => kubernetes::edges(streamed()?, namespace),
    }
}
