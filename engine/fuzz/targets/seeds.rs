//! Writes the inputs that the targets start from: `seeds FOLDER` makes a folder for each target. All are invented.

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use engine::partial::{CallState, LogCount, MinutePartial};
use engine::quantile::Durations;
use parquet::arrow::ArrowWriter;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

// The counters of coverage are in this program too, and need what they call.
use libfuzzer_sys as _;

/// Template, fingerprint and line, by tabs.
const LINES: &str = include_str!("../../tests/interface/data/fingerprints.tsv");

const HITS: [&str; 3] = [
    r#"{"_timestamp":1,"body":"user 7 \"in\"","severity":"WARN","service_name":"shop","host_name":"h1"}"#,
    r#"{"_timestamp":"2","__name__":"requests","__hash__":"17","value":1.5,"le":"+Inf","code":"200","__type__":"counter"}"#,
    r#"{"_timestamp":3,"trace_id":"t1","span_id":"s1","reference_parent_span_id":"s0","service_name":"shop","duration":12,"start_time":3000,"end_time":15000,"span_kind":"3","span_status":"ERROR","db_system":"postgresql"}"#,
];

const TEXTS: [&str; 8] = [
    r#"{"user":"bob","password":"a\"b","n":1} postgres://bob:pw@db/x?token=abc"#,
    "Authorization: Basic dXNlcjpwYXNz\nCookie: <*> x\ncurl --api-key abc 'Bearer abcDEF123'",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- card 4111 1111 1111 1111",
    r#"body={\"token\":\"abc\",\"x\":1} <password>hunter2</password>"#,
    "java.lang.Error: no\n\tat a.b.C(D.java:1)\n\tat a.b.E(F.java:2)\nCaused by: x",
    "Jan  5 10:00:00 host1 sshd[12]: Failed password for root from 10.0.0.1 port 22 ssh2",
    "level=info ts=2026-01-05T10:00:00Z msg=\"took 18.4 KB (1.2 s)\" path=/a/b/c status=200",
    "lot ABC for Paris: token for topic a\ntoken for topic b\ntoken for topic c\ntoken for topic d",
];

const TOPOLOGIES: [&str; 7] = [
    r#"{"version":4,"terraform_version":"1.9.0","resources":[{"mode":"managed","type":"aws_instance","name":"a","instances":[{"attributes":{"id":"i-1","subnet_id":"s-1"},"dependencies":["aws_subnet.b"]}]},{"mode":"managed","type":"aws_subnet","name":"b","instances":[{"index_key":0,"attributes":{"id":"s-1"}}]}]}"#,
    r#"{"format_version":"1.2","planned_values":{},"configuration":{"root_module":{"resources":[{"address":"a.b","type":"a","name":"b","expressions":{"x":{"references":["c.d.id","c.d"]}}},{"address":"c.d","type":"c","name":"d"}]}}}"#,
    r#"{"version":3,"deployment":{"resources":[{"urn":"urn:pulumi:s::p::a:b::c","type":"a:b","dependencies":["urn:pulumi:s::p::a:b::d"]},{"urn":"urn:pulumi:s::p::a:b::d","type":"a:b"}]}}"#,
    "Resources:\n  Vpc: {Type: AWS::EC2::VPC}\n  Net: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, Name: !Sub '${Vpc}-x'}}\n",
    r#"{"LoadBalancers":[{"LoadBalancerArn":"arn:aws:x","VpcId":"vpc-1","SecurityGroups":["sg-1"]}]}"#,
    r#"{"LoadBalancerId":"lb-1","BackendServers":{"BackendServer":[{"ServerId":"i-1","Weight":100}]}}"#,
    "apiVersion: v1\nkind: Service\nmetadata: &m {name: a}\nspec:\n  selector: {app: b}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: c}\nspec: {template: {metadata: {labels: {app: b}}, spec: {containers: [{name: x, envFrom: [{configMapRef: {name: d}}]}]}}}\n",
];

const ANSIBLE: &[u8] = b"[web]\nw[1:3] ansible_host=10.0.0.1 x=\"{{ y }}\"\n[web:vars]\ny=1\n[all:children]\nweb\n\xff\
all:\n  children: {db: {hosts: {d1: {ansible_host: 10.0.0.2}}}}\n\xff\
peer: \"{{ hostvars['w1'].ansible_host | default('x') }}\"\n\xff\
- hosts: web:!db\n  roles: [web, {role: base, when: a}]\n\xff- include_tasks: \"{{ item }}.yml\"\n  loop: [a, b]\n";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: seeds FOLDER")?;
    let folder = Path::new(&folder);
    let lines: Vec<&str> = LINES.lines().filter_map(|line| line.split('\t').nth(2)).collect();
    let texts = || lines.iter().chain(&TEXTS).map(|text| text.as_bytes().to_vec());
    for target in ["lines", "secrets"] {
        write(folder, target, texts())?;
    }
    write(
        folder,
        "classes",
        lines
            .chunks(12)
            .chain(TEXTS.chunks(3))
            .map(|some| some.join("\n").into_bytes()),
    )?;
    // The first bytes choose options: the dataset, labels, whether points name themselves, and more.
    let choices = || (0..18u8).map(|n| vec![n % 3, n / 3 % 3, n / 9, 7]);
    let after_choices = |content: &[u8]| {
        choices()
            .map(|choice| [choice.as_slice(), content].concat())
            .collect::<Vec<_>>()
    };
    let answer = format!(
        r#"{{"took":1,"hits":[{}],"total":3,"is_partial":false,"function_error":["x"]}}"#,
        HITS.join(",")
    );
    write(folder, "json", after_choices(answer.as_bytes()).into_iter())?;
    let ndjson = HITS.join("\n") + "\n\n{\"_timestamp\":1\n7\n";
    // One choice less than for answers: the fourth byte is a blank.
    let ndjson = choices().map(|choice| [&choice[..3], b" ", ndjson.as_bytes()].concat());
    write(folder, "ndjson", ndjson)?;
    write(folder, "parquet_bytes", after_choices(&file()?).into_iter())?;
    write(
        folder,
        "parquet_rows",
        after_choices(HITS.join("abc").as_bytes()).into_iter(),
    )?;
    write(folder, "partial", partials().into_iter())?;
    write(
        folder,
        "topology",
        TOPOLOGIES.iter().map(|text| [&[255], text.as_bytes()].concat()),
    )?;
    write(folder, "ansible", std::iter::once(ANSIBLE.to_vec()))?;
    Ok(())
}

fn write(folder: &Path, target: &str, inputs: impl Iterator<Item = Vec<u8>>) -> std::io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    for (n, input) in inputs.enumerate() {
        fs::write(folder.join(format!("seed-{n}")), input)?;
    }
    Ok(())
}

/// A small Parquet file with a column for each role.
fn file() -> Result<Vec<u8>, Box<dyn Error>> {
    let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![Some(text), None, Some("7")])) };
    let ints = || -> ArrayRef { Arc::new(Int64Array::from(vec![3, 2, 1])) };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("_timestamp", ints(), true),
        ("body", texts("user 7 in"), true),
        ("duration", ints(), true),
        ("service_name", texts("shop"), true),
        ("span_id", texts("s1"), true),
        ("trace_id", texts("t1"), true),
        ("value", Arc::new(Float64Array::from(vec![1.5, f64::NAN, 0.0])), true),
    ])?;
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(out)
}

/// Partials as they are stored, without the checksum, which the target adds.
fn partials() -> Vec<Vec<u8>> {
    let names: Vec<Arc<str>> = ["urn:a", "urn:b", "urn:c"].map(Arc::from).to_vec();
    [1u64, 20, 20_000]
        .map(|calls| {
            let call = CallState {
                inferred: calls == 20,
                errors: 1,
                durations: Durations::from_samples((0..calls).map(|n| n * n).collect()),
            };
            let logs = vec![(0, -5, LogCount { total: 7, errors: 1 }), (2, 9, LogCount::default())];
            let stored = MinutePartial::new(60_000_000, &names, vec![(0, 1, call)], logs).encode();
            stored.get(8..).unwrap_or_default().to_vec()
        })
        .to_vec()
}
