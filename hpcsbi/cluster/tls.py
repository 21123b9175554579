"""Certificates of the connections between processes: made for a run, and gone with it."""

import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from hpcsbi.cluster import slurm, this_job

__all__ = ["Pair", "make_pair", "on_disk"]

EARLY = timedelta(hours=1)  # the clock of another node may be behind
LATE = timedelta(days=365)
NAME = "dask-internal"
# Of folders: tls-JOB@CLUSTER-..., or tls-here.HOST.PID-... outside of jobs.
START, HERE = "tls-", "here."


@dataclass(frozen=True)
class Pair:
    """A private key and the certificate that it signs for itself, as PEM."""

    key: str
    certificate: str


def make_pair() -> Pair:
    """A new pair. As `distributed.Security.temporary` does, but valid on clocks that are behind."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + LATE)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Pair(private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode())


@contextmanager
def on_disk(pair: Pair, folder: Path) -> Iterator[dict[str, str]]:
    """Files for workers on other nodes, readable by this user only, for as long as the block runs.

    They go on SIGTERM too, with which SLURM cancels a job; what a killed job left is removed when
    the next one starts.

    Arguments:
        pair: what the files hold.
        folder: where they are, in a folder of their own.

    Returns:
        options of a Dask worker -> paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    with _on_sigterm(lambda: shutil.rmtree(private, ignore_errors=True)):
        private = Path(tempfile.mkdtemp(dir=folder.absolute(), prefix=f"{START}{_owner()}-"))
        contents = {
            "tls-ca-file": pair.certificate,
            "tls-cert": pair.certificate,
            "tls-key": pair.key,
        }
        try:
            for name, content in contents.items():
                path = private / f"{name}.pem"
                path.touch(mode=0o600)
                path.write_text(content)
            yield {name: str(private / f"{name}.pem") for name in contents}
        finally:
            shutil.rmtree(private, ignore_errors=True)


@contextmanager
def _on_sigterm(clean: Callable[[], None]) -> Iterator[None]:
    """Clean up before SIGTERM ends this process as it would have."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        clean()
        signal.signal(number, before)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, end) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _owner() -> str:
    job, cluster = this_job.number(), this_job.cluster()
    if job is None:
        return f"{HERE}{socket.gethostname()}.{os.getpid()}"
    return f"{job}@{cluster}" if cluster else job


def _sweep(folder: Path) -> None:
    """Remove what drivers left that are surely gone; of others nothing is known."""
    left = {path: path.name[len(START) :].rpartition("-")[0] for path in folder.glob(f"{START}*")}
    outside = {owner for owner in left.values() if owner.startswith(HERE)}
    gone = {owner for owner in outside if _ended(owner)}
    gone |= {_owner()} - outside  # this job, before it was queued again
    with suppress(slurm.SlurmError):  # nothing is known of the others
        gone |= _gone_jobs(set(left.values()) - outside - gone)
    for path, owner in left.items():
        if owner in gone:
            shutil.rmtree(path, ignore_errors=True)


def _ended(owner: str) -> bool:
    host, _, pid = owner.removeprefix(HERE).rpartition(".")
    return host == socket.gethostname() and not psutil.pid_exists(int(pid))


def _gone_jobs(owners: set[str]) -> set[str]:
    """Of jobs those that have ended; of other clusters' nothing is known."""
    parted = {owner: owner.partition("@") for owner in owners}
    numbers = {
        owner: job.split("_")[0]
        for owner, (job, _, cluster) in parted.items()
        if not slurm.is_elsewhere(cluster)
    }
    states = slurm.jobs(set(numbers.values()))
    return {
        owner
        for owner, number in numbers.items()
        if not any(state.active for state in slurm.tasks_of(number, states).values())
    }
