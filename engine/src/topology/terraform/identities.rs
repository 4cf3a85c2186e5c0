//! What else machines, load balancers and Services of a state are known as: from the attributes that providers fill in.

use super::attributes::walk;
use super::model::{Instance, State};
use super::secrets::Secrets;
use super::urns;
use crate::topology::{Identity, Role, identity, names};

/// What the resources of a kind are known as.
struct Kind {
    kind: &'static str,
    role: Role,
    /// Attributes with addresses, without indices.
    addresses: &'static [&'static str],
    /// Attributes with the name that the machine has of itself.
    names: &'static [&'static str],
    /// Reads `id` as `spec.providerID` of a Node has it.
    id: Option<fn(&str) -> Option<String>>,
}

const fn machine(kind: &'static str, addresses: &'static [&'static str]) -> Kind {
    Kind {
        kind,
        role: Role::Instance,
        addresses,
        names: &[],
        id: None,
    }
}

const fn balancer(kind: &'static str, addresses: &'static [&'static str]) -> Kind {
    Kind {
        role: Role::Balancer,
        ..machine(kind, addresses)
    }
}

const AZURE: &[&str] = &[
    "private_ip_address",
    "private_ip_addresses",
    "public_ip_address",
    "public_ip_addresses",
];

const KINDS: &[Kind] = &[
    Kind {
        names: &["private_dns"],
        ..machine("aws_instance", &["private_ip", "public_ip", "public_dns"])
    },
    Kind {
        names: &["host_name"],
        ..machine("alicloud_instance", &["private_ip", "primary_ip_address", "public_ip"])
    },
    Kind {
        names: &["hostname"],
        id: Some(gce),
        ..machine(
            "google_compute_instance",
            &["network_interface.network_ip", "network_interface.access_config.nat_ip"],
        )
    },
    Kind {
        names: &["computer_name"],
        id: Some(azure),
        ..machine("azurerm_linux_virtual_machine", AZURE)
    },
    Kind {
        names: &["computer_name"],
        id: Some(azure),
        ..machine("azurerm_windows_virtual_machine", AZURE)
    },
    Kind {
        id: Some(|id| Some(names::instance("digitalocean", id))),
        ..machine(
            "digitalocean_droplet",
            &["ipv4_address", "ipv4_address_private", "ipv6_address"],
        )
    },
    Kind {
        id: Some(|id| Some(names::instance("hcloud", id))),
        ..machine("hcloud_server", &["ipv4_address", "ipv6_address", "network.ip"])
    },
    Kind {
        id: Some(|id| Some(names::instance("openstack", id))),
        ..machine(
            "openstack_compute_instance_v2",
            &["access_ip_v4", "access_ip_v6", "network.fixed_ip_v4"],
        )
    },
    machine("vsphere_virtual_machine", &["default_ip_address"]),
    machine("proxmox_vm_qemu", &["default_ipv4_address"]),
    machine("libvirt_domain", &["network_interface.addresses"]),
    balancer("aws_lb", &["dns_name"]),
    balancer("aws_alb", &["dns_name"]),
    balancer("aws_elb", &["dns_name"]),
    balancer("alicloud_slb", &["address"]),
    balancer("alicloud_slb_load_balancer", &["address"]),
    balancer("alicloud_alb_load_balancer", &["dns_name"]),
    balancer("alicloud_nlb_load_balancer", &["dns_name"]),
    balancer("google_compute_forwarding_rule", &["ip_address"]),
    balancer("google_compute_global_forwarding_rule", &["ip_address"]),
    balancer("hcloud_load_balancer", &["ipv4", "ipv6"]),
    balancer("digitalocean_loadbalancer", &["ip"]),
    balancer("openstack_lb_loadbalancer_v2", &["vip_address"]),
    Kind {
        role: Role::Service,
        ..machine("kubernetes_service", SERVICE)
    },
    Kind {
        role: Role::Service,
        ..machine("kubernetes_service_v1", SERVICE)
    },
];

const SERVICE: &[&str] = &[
    "status.load_balancer.ingress.hostname",
    "status.load_balancer.ingress.ip",
];

/// What the instances of a state are known as. A value that equals a secret of the state is not used.
pub fn of(state: &State<'_>, secrets: &Secrets) -> Vec<Identity> {
    let mut found = Vec::new();
    for instance in &state.instances {
        let Some(kind) = KINDS.iter().find(|kind| kind.kind == instance.kind.as_str()) else {
            continue;
        };
        let known_as = names_of(instance, kind, secrets);
        if known_as.is_empty() {
            continue;
        }
        let urn = urns::urn(instance, secrets);
        found.extend(known_as.into_iter().map(|known_as| Identity {
            thing: instance.address.clone(),
            urn: urn.clone(),
            role: kind.role,
            known_as,
        }));
    }
    found
}

fn names_of(instance: &Instance<'_>, kind: &Kind, secrets: &Secrets) -> Vec<String> {
    let mut known_as = Vec::new();
    let Some(attributes) = instance.attributes else {
        return known_as;
    };
    walk(attributes, &mut |place, text| {
        if text.is_empty() || secrets.contains(text) {
            return;
        }
        if kind.addresses.contains(&place.plain) {
            known_as.extend(match kind.role {
                Role::Balancer | Role::Service => identity::balancer_at(text),
                Role::Instance | Role::Node | Role::Host => identity::machine_at(text),
            });
        } else if kind.names.contains(&place.plain) {
            known_as.extend(identity::machine_called(text));
        } else if place.plain == "id" {
            known_as.extend(kind.id.and_then(|read| read(text)));
        }
    });
    known_as
}

/// `projects/<project>/zones/<zone>/instances/<name>`
fn gce(id: &str) -> Option<String> {
    match id.split('/').collect::<Vec<_>>().as_slice() {
        ["projects", project, "zones", zone, "instances", name] => {
            Some(names::instance("gce", &format!("{project}/{zone}/{name}")))
        }
        _ => None,
    }
}

fn azure(id: &str) -> Option<String> {
    identity::provider_id(&format!("azure://{id}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::topology::{Format, extract};

    /// What resources with these attributes are known as, as a state and as `show -json` have them.
    fn known(kind: &str, attributes: &Value) -> Vec<String> {
        let state = json!({"version": 4, "lineage": "x", "resources": [
            {"type": kind, "name": "a", "mode": "managed", "instances": [{"attributes": attributes}]}]});
        let show = json!({"format_version": "1.0", "terraform_version": "1.9.0", "values": {"root_module": {"resources": [
            {"address": format!("{kind}.a"), "type": kind, "values": attributes}]}}});
        let read = |text: String, format| -> Vec<String> {
            let found = extract(text.as_bytes(), format).unwrap().identities;
            let of = |known: &crate::topology::Identity| {
                let urn = known.urn.as_deref().unwrap_or(&known.thing);
                format!("{urn} {} {}", known.role.name(), known.known_as)
            };
            found.iter().map(of).collect()
        };
        let told = read(state.to_string(), Format::TerraformState);
        assert_eq!(told, read(show.to_string(), Format::TerraformShow));
        told
    }

    #[test]
    fn machines_are_known_by_addresses_names_and_the_ids_of_their_clouds() {
        assert_eq!(
            known(
                "aws_instance",
                &json!({"id": "i-1", "private_ip": "10.0.0.1", "public_ip": "", "private_dns": "ip-10-0-0-1.ec2.internal",
                        "tags": {"private_ip": "10.9.9.9"}}),
            ),
            [
                "urn:aws:i-1 instance urn:host:10.0.0.1",
                "urn:aws:i-1 instance urn:host:ip-10-0-0-1",
                "urn:aws:i-1 instance urn:host:ip-10-0-0-1.ec2.internal",
            ]
        );
        assert_eq!(
            known(
                "google_compute_instance",
                &json!({"id": "projects/p/zones/z/instances/n", "name": "n",
                        "network_interface": [{"network_ip": "10.0.0.2", "access_config": [{"nat_ip": "203.0.113.2"}]}]}),
            ),
            [
                "urn:host:n instance urn:gce:p%2Fz%2Fn",
                "urn:host:n instance urn:host:10.0.0.2",
                "urn:host:n instance urn:host:203.0.113.2",
            ]
        );
        let id = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/N";
        assert_eq!(
            known("azurerm_linux_virtual_machine", &json!({"id": id, "name": "n"})),
            [
                "urn:host:n instance urn:azure:subscriptions%2Fs%2Fresourcegroups%2Fg%2Fproviders%2Fmicrosoft.compute%2Fvirtualmachines%2Fn"
            ]
        );
        assert_eq!(
            known(
                "hcloud_server",
                &json!({"id": "7", "name": "n", "ipv4_address": "203.0.113.7"})
            ),
            [
                "urn:host:n instance urn:hcloud:7",
                "urn:host:n instance urn:host:203.0.113.7"
            ]
        );
    }

    #[test]
    fn load_balancers_and_services_are_known_by_one_address() {
        assert_eq!(
            known(
                "aws_lb",
                &json!({"arn": "arn:l", "id": "arn:l", "dns_name": "L.elb.example.com"})
            ),
            ["urn:aws:arn%3Al balancer urn:balancer:l.elb.example.com"]
        );
        assert_eq!(
            known("hcloud_load_balancer", &json!({"id": "1", "ipv4": "203.0.113.1"})),
            ["hcloud_load_balancer.a balancer urn:balancer:203.0.113.1"]
        );
        let status = json!([{"load_balancer": [{"ingress": [{"hostname": "l.elb.example.com", "ip": ""}]}]}]);
        assert_eq!(
            known("kubernetes_service_v1", &json!({"id": "shop/web", "status": status})),
            ["urn:k8s:svc:shop/web service urn:balancer:l.elb.example.com"]
        );
    }

    #[test]
    fn a_value_that_is_a_secret_is_not_used() {
        let attributes =
            json!({"id": "i-1", "private_dns": "hunter2.example.com", "user_password": "hunter2.example.com"});
        assert_eq!(known("aws_instance", &attributes), Vec::<String>::new());
    }
}
