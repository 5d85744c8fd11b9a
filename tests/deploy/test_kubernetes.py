"""What is applied to Kubernetes: as the API server takes it, and as the server and its users need it."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]
from tests.promql import metrics_of_a_server

from seatrial.server.runtimes.inspection.limits import Limits
from seatrial.server.settings import Settings, load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
OVERLAYS = ("one-node", "production")
RELEASES = ("1.30", "1.33", "1.37")
"""Of Kubernetes, whose schemas are at hand."""
KUBECTL = shutil.which("kubectl") or ""
LEAST = (5, 0)
"""The kustomize within `kubectl` that knows everything that is asked of it."""
SECRET = {"SEATRIAL_DATABASE_URL", "SEATRIAL_REDIS_URL", "SEATRIAL_SECRET_KEY"}
UNITS = {"Mi": 2**20, "Gi": 2**30}
Document = dict[str, Any]


def missing() -> str:
    """Why nothing can be rendered here; empty where it can."""
    if not KUBECTL:
        return "needs kubectl"
    told = subprocess.run([KUBECTL, "version", "--client"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Kustomize Version: v(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < LEAST:
        return "needs a kubectl with kustomize 5"
    return ""


needs_kubectl = pytest.mark.skipif(bool(missing()), reason=missing() or "it is there")
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@cache
def render(overlay: str) -> tuple[Document, ...]:
    """Every document that an overlay comes to."""
    folder = DEPLOY / "k8s" / "overlays" / overlay
    done = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def one(overlay: str, kind: str) -> Document:
    """The only document of a kind."""
    (found,) = (document for document in render(overlay) if document["kind"] == kind)
    return found


def pod_of(document: Document) -> Document:
    """The template of the pods of a Deployment or a Job."""
    template: Document = document["spec"]["template"]
    return template


def container_of(pod: Document) -> Document:
    """The only container of a pod's specification."""
    (container,) = pod["containers"]
    found: Document = container
    return found


def kserve() -> Document:
    """The InferenceService."""
    found: Document = yaml.safe_load((DEPLOY / "kserve" / "inferenceservice.yaml").read_text(encoding="utf-8"))
    return found


def kserve_pod() -> Document:
    """What of its predictor specifies a pod; the rest is KServe's own."""
    own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"}
    predictor = kserve()["spec"]["predictor"]
    assert own <= predictor.keys()
    return {name: value for name, value in predictor.items() if name not in own}


def servers() -> Iterator[tuple[str, Document, Mapping[str, str]]]:
    """Each pod specification that serves, with the settings that stand in plain sight."""
    for overlay in OVERLAYS:
        yield overlay, pod_of(one(overlay, "Deployment"))["spec"], one(overlay, "ConfigMap")["data"]
    plain = {variable["name"]: variable["value"] for variable in container_of(kserve_pod())["env"]}
    yield "kserve", kserve_pod(), plain


def pods() -> Iterator[tuple[str, Document]]:
    """Each pod specification, those of migrations too."""
    yield from ((place, pod) for place, pod, _ in servers())
    yield from ((f"{overlay}: migration", pod_of(one(overlay, "Job"))["spec"]) for overlay in OVERLAYS)


def selected(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether a selector has labels, and is met."""
    return bool(selector) and selector.items() <= labels.items()


def size(quantity: str) -> int:
    """Bytes."""
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


@needs_kubectl
@each_overlay
@pytest.mark.parametrize("release", RELEASES)
def test_the_api_server_takes_every_document(overlay: str, release: str) -> None:
    """By its own schemas, in which no field is unknown, of old and new releases."""
    documents = render(overlay)
    for document in documents:
        kubernetes_validate.validate(document, release, strict=True)

    assert {document["kind"] for document in documents} == {
        "Namespace", "ConfigMap", "Service", "PersistentVolumeClaim", "Deployment", "PodDisruptionBudget",
        "HorizontalPodAutoscaler", "Job", "NetworkPolicy",
    }  # fmt: skip
    assert {document["metadata"].get("namespace") for document in documents} == {None, "seatrial"}


@needs_kubectl
def test_the_schemas_find_what_is_wrong() -> None:
    """A field that there is not, and a number in the place of a text: else the test before would say nothing."""
    wrong = yaml.safe_load(yaml.safe_dump(one("production", "Deployment")))
    wrong["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(wrong, RELEASES[-1], strict=True)
    wrong = yaml.safe_load(yaml.safe_dump(one("production", "ConfigMap")))
    wrong["data"]["SEATRIAL_PORT"] = 8000
    with pytest.raises(kubernetes_validate.ValidationError, match="8000"):
        kubernetes_validate.validate(wrong, RELEASES[-1], strict=True)


@needs_kubectl
def test_kserve_gets_a_predictor() -> None:
    """Its pod is one that the API server takes; what is KServe's own is spelt as KServe does."""
    service = kserve()
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": kserve_pod()}
    kubernetes_validate.validate(pod, RELEASES[-1], strict=True)

    assert service.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert service["spec"].keys() == {"predictor"}
    assert service["metadata"]["annotations"] == {
        "serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": "hpa",
    }  # fmt: skip
    assert container_of(kserve_pod())["name"] == "kserve-container"
    assert service["spec"]["predictor"]["scaleMetric"] == "cpu"


@needs_kubectl
def test_probes_ask_what_they_should() -> None:
    """Readiness for traffic, and life for a restart: a server that is not ready is not killed for it."""
    for place, pod, plain in servers():
        container = container_of(pod)
        (port,) = container["ports"]
        asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
        assert {probe["path"] for name, probe in asked.items() if name != "liveness"} == {"/health/ready"}, place
        assert asked["liveness"]["path"] == "/health/live", place
        assert {probe["port"] for probe in asked.values()} <= {port["name"], port["containerPort"]}, place
        assert str(port["containerPort"]) == plain["SEATRIAL_PORT"], place


@needs_kubectl
def test_a_replica_has_the_time_to_end_what_it_has_begun() -> None:
    """Longer than it drains and the longest request together; and the drain is longer than it takes to be noticed."""
    for place, pod, plain in servers():
        drain, longest = float(plain["SEATRIAL_DRAIN_SECONDS"]), float(plain["SEATRIAL_REQUEST_TIMEOUT"])
        readiness = container_of(pod)["readinessProbe"]
        assert pod["terminationGracePeriodSeconds"] > drain + longest, place
        assert drain > readiness["periodSeconds"] * readiness["failureThreshold"] + readiness["timeoutSeconds"], place
    assert kserve()["spec"]["predictor"]["timeout"] > 30


@needs_kubectl
@each_overlay
def test_whatever_selects_pods_selects_these(overlay: str) -> None:
    """Service, budget, autoscaler and spread the servers, and nothing else; the network policy the migration too."""
    deployment, job = one(overlay, "Deployment"), one(overlay, "Job")
    server, migration = (pod_of(document)["metadata"]["labels"] for document in (deployment, job))
    (spread,) = pod_of(deployment)["spec"]["topologySpreadConstraints"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        one(overlay, "Service")["spec"]["selector"],
        one(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        spread["labelSelector"]["matchLabels"],
    ):
        assert (selected(server, selector), selected(migration, selector)) == (True, False)
    policy = one(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert selected(server, policy)
    assert selected(migration, policy)
    target = one(overlay, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])


@needs_kubectl
@each_overlay
def test_the_migration_can_be_applied_by_itself(overlay: str) -> None:
    """`-l app.kubernetes.io/component=migrate` is the Job alone, as the guide says; it needs no ConfigMap."""
    of_migration = [
        document["kind"]
        for document in render(overlay)
        if document["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "migrate"
    ]
    job, deployment = one(overlay, "Job"), one(overlay, "Deployment")
    migrates, serves = (container_of(pod_of(document)["spec"]) for document in (job, deployment))

    assert of_migration == ["Job"]
    assert (migrates["args"], serves["args"]) == (["db", "upgrade"], ["serve"])
    assert migrates["image"] == serves["image"]
    assert "configMapRef" not in yaml.safe_dump(job)


@needs_kubectl
@each_overlay
def test_the_network_lets_through_what_is_needed_and_no_more(overlay: str) -> None:
    """In to the port that is served; out to names, PostgreSQL, Redis and a collector of traces."""
    policy = one(overlay, "NetworkPolicy")["spec"]
    ports = {
        way: {(port["protocol"], port["port"]) for rule in policy[way] for port in rule["ports"]}
        for way in ("ingress", "egress")
    }
    (port,) = container_of(pod_of(one(overlay, "Deployment"))["spec"])["ports"]

    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert ports["ingress"] == {("TCP", port["containerPort"])}
    assert ports["egress"] == {("UDP", 53), ("TCP", 53), ("TCP", 5432), ("TCP", 6379), ("TCP", 4318)}
    (service,) = one(overlay, "Service")["spec"]["ports"]
    assert service["targetPort"] == port["name"]


@needs_kubectl
@each_overlay
def test_some_replicas_are_always_there(overlay: str) -> None:
    """Fewer may be asked for than there are at least, or no machine could be drained; a roll takes none away."""
    scaler, deployment = one(overlay, "HorizontalPodAutoscaler")["spec"], one(overlay, "Deployment")["spec"]

    assert 1 <= one(overlay, "PodDisruptionBudget")["spec"]["minAvailable"] < scaler["minReplicas"]
    assert scaler["minReplicas"] < scaler["maxReplicas"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in deployment, "kubectl apply would undo what the autoscaler did"


@needs_kubectl
@each_overlay
def test_the_autoscaler_asks_for_a_metric_that_there_is(overlay: str, tmp_path: Path) -> None:
    """Under the name that the adapter gives it; and a share of a core that a replica asks for."""
    metrics = one(overlay, "HorizontalPodAutoscaler")["spec"]["metrics"]
    (name,) = (metric["pods"]["metric"]["name"] for metric in metrics if metric["type"] == "Pods")
    (rule,) = yaml.safe_load((DEPLOY / "prometheus" / "adapter.yml").read_text(encoding="utf-8"))["rules"]

    assert name in metrics_of_a_server(tmp_path)
    assert rule["name"]["as"] == name
    assert [metric["resource"]["name"] for metric in metrics if metric["type"] == "Resource"] == ["cpu"]
    assert "cpu" in container_of(pod_of(one(overlay, "Deployment"))["spec"])["resources"]["requests"]


@needs_kubectl
def test_a_pod_may_do_as_little_as_it_can() -> None:
    """As nobody in particular, with a root that cannot be written, no capability, and no way to ask Kubernetes."""
    for place, pod in pods():
        user, container = pod["securityContext"], container_of(pod)
        assert (user["runAsNonRoot"], user["runAsUser"] > 0, user["runAsGroup"] > 0) == (True, True, True), place
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}, place
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }, place  # fmt: skip
        assert pod["automountServiceAccountToken"] is False, place
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["tmp"] == "/tmp", place  # noqa: S108 - where a pod has its own
        assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}, place
    for overlay in OVERLAYS:
        labels = one(overlay, "Namespace")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@needs_kubectl
def test_an_inspection_has_room_beside_the_server() -> None:
    """Else a file that somebody registers could end the replica: what is in one container ends together."""
    for place, pod, variables in servers():
        resources, largest = container_of(pod)["resources"], int(variables["SEATRIAL_MAX_MODEL_BYTES"])
        needed = Limits().memory(largest) + size(resources["requests"]["memory"])
        assert size(resources["limits"]["memory"]) >= needed, place
        assert "cpu" not in resources["limits"], place


@needs_kubectl
def test_the_data_is_where_the_server_looks_for_it() -> None:
    """In a folder of its own on the volume, for itself only, whatever the volume's own root is open to."""
    for place, pod, plain in servers():
        (mount,) = (mount for mount in container_of(pod)["volumeMounts"] if mount["name"] == "data")
        assert Path(plain["SEATRIAL_DATA_DIR"]).parent == Path(mount["mountPath"]), place
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "data")
        assert volume["persistentVolumeClaim"] == {
            "claimName": one("production", "PersistentVolumeClaim")["metadata"]["name"]
        }


@needs_kubectl
def test_every_setting_is_one_and_has_a_value_that_the_server_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And what Kubernetes itself would set for a Service of this name does not come between."""
    monkeypatch.chdir(tmp_path)
    for place, _, plain in servers():
        for name, value in {**plain, "SEATRIAL_SECRET_KEY": "abcdefghijklmnopqrstuvwxyz0123456789"}.items():
            monkeypatch.setenv(name, value)
        settings = load_settings({})
        assert {name.removeprefix("SEATRIAL_").lower() for name in plain} <= settings.model_fields_set, place
        assert (settings.host, settings.port, settings.drain_seconds) == ("0.0.0.0", 8000, 10), place  # noqa: S104 - in a pod
    for place, pod in pods():
        assert pod["enableServiceLinks"] is False, place


def test_every_variable_that_is_named_is_a_setting() -> None:
    """In comments, too."""
    folders = (DEPLOY / "k8s", DEPLOY / "kserve", DEPLOY / "prometheus")
    texts = (path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.y*ml"))
    named = set(chain.from_iterable(re.findall(r"SEATRIAL_[A-Z_]+", text) for text in texts))

    assert {name.removeprefix("SEATRIAL_").lower() for name in named} <= Settings.model_fields.keys()
    assert named > SECRET


@needs_kubectl
def test_secrets_are_referred_to_and_not_contained() -> None:
    """No document is a Secret, and no secret setting has a value; each pod takes them from the Secret `seatrial`."""
    for place, pod in pods():
        container = container_of(pod)
        assert {"secretRef": {"name": "seatrial"}} in container["envFrom"], place
        assert not SECRET & {variable["name"] for variable in container.get("env", ())}, place
    for overlay in OVERLAYS:
        assert not [document for document in render(overlay) if document["kind"] == "Secret"]
        assert not SECRET & one(overlay, "ConfigMap")["data"].keys()
