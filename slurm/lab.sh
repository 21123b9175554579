#!/usr/bin/env bash
# A private SLURM of several virtual nodes on this machine, to try the cluster modes without one.
#
#   slurm/lab.sh start [--accounting]   start it (again), wait until every node is idle
#   eval "$(slurm/lab.sh env)"          let sbatch, squeue ... of this shell speak to it
#   slurm/lab.sh status                 nodes and jobs
#   slurm/lab.sh stop                   cancel its jobs and end its daemons
#
# Needs Debian's packages slurm-wlm and munge; with --accounting (sacct) also slurmdbd and
# mariadb-server. Any user can run it, root included; jobs run as that user. Everything lies in
# LAB (default .slurm-lab), whose path must be short. NODES, CPUS, MEMORY (MiB) and PORT shape it.
set -euo pipefail

LAB=$(realpath -m "${LAB:-.slurm-lab}")
NODES=${NODES:-4} CPUS=${CPUS:-2} MEMORY=${MEMORY:-4096} PORT=${PORT:-16817}
export SLURM_CONF=$LAB/slurm.conf PATH=$PATH:/usr/sbin:/sbin
SOCKET=$LAB/munge/munge.sock
USER_NAME=$(id -un) HOST=$(hostname -s)

fail() { echo "lab.sh: $*" >&2; exit 2; }

# running NAME: its pid, if the pid file names a living process of that program.
running() {
    local pid
    pid=$(cat "$LAB/pid/$1.pid" 2>/dev/null) || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "${1%%.*}" && echo "$pid"
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "$program is not installed:" \
            "apt-get install slurm-wlm munge (with --accounting also slurmdbd mariadb-server)"
    done
}

write_configuration() {
    local i storage=accounting_storage/none
    [ "$1" = no ] || storage=accounting_storage/slurmdbd
    cat >"$SLURM_CONF" <<CONF
ClusterName=lab
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=$USER_NAME
SlurmdUser=$USER_NAME
AuthType=auth/munge
AuthInfo=socket=$SOCKET
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
JobRequeue=1
ReturnToService=2
MaxArraySize=1001
MaxJobCount=20000
MinJobAge=3600
KillWait=5
SlurmctldTimeout=60
SlurmdTimeout=60
MessageTimeout=20
StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmctldPidFile=$LAB/pid/slurmctld.pid
SlurmdPidFile=$LAB/pid/slurmd.%n.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdLogFile=$LAB/log/slurmd.%n.log
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=3
JobAcctGatherParams=OverMemoryKill,UsePss
AccountingStorageType=$storage
CONF
    [ "$1" = no ] || cat >>"$SLURM_CONF" <<CONF
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT - 1))
AccountingStoragePass=$SOCKET
CONF
    for i in $(seq "$NODES"); do
        echo "NodeName=n$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + i))" \
            "CPUs=$CPUS RealMemory=$MEMORY State=UNKNOWN"
    done >>"$SLURM_CONF"
    echo "PartitionName=main Nodes=n[1-$NODES] Default=YES MaxTime=INFINITE DefaultTime=01:00:00" \
        "DefMemPerCPU=512 State=UP" >>"$SLURM_CONF"
}

start_accounting() {
    local sql=(mariadb --no-defaults --socket="$LAB/db.sock" --user=root)
    need slurmdbd mariadbd
    (umask 077 && cat >"$LAB/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$SOCKET
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$((PORT - 1))
SlurmUser=$USER_NAME
PidFile=$LAB/pid/slurmdbd.pid
LogFile=$LAB/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORT - 2))
StorageUser=slurm
StoragePass=lab
StorageLoc=slurm_acct
CONF
    )
    [ -d "$LAB/db/mysql" ] || mariadb-install-db --no-defaults --user="$USER_NAME" \
        --datadir="$LAB/db" --auth-root-authentication-method=normal --skip-test-db \
        >"$LAB/log/database.log" 2>&1 || fail "no database: see $LAB/log/database.log"
    running mariadbd >/dev/null || {
        mariadbd --no-defaults --user="$USER_NAME" --datadir="$LAB/db" --socket="$LAB/db.sock" \
            --bind-address=127.0.0.1 --port=$((PORT - 2)) --pid-file="$LAB/pid/mariadbd.pid" \
            --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
            --innodb-flush-log-at-trx-commit=2 --performance-schema=OFF \
            >>"$LAB/log/database.log" 2>&1 </dev/null &
        disown
    }
    wait_for 60 "${sql[@]}" -e "SELECT 1" || fail "no database: see $LAB/log/database.log"
    "${sql[@]}" -e "CREATE DATABASE IF NOT EXISTS slurm_acct;
        CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'lab';
        CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'lab';
        GRANT ALL ON slurm_acct.* TO 'slurm'@'localhost';
        GRANT ALL ON slurm_acct.* TO 'slurm'@'127.0.0.1';"
    running slurmdbd >/dev/null || slurmdbd
    wait_for 60 sacctmgr -n -i show cluster || fail "no slurmdbd: see $LAB/log/slurmdbd.log"
    [ -n "$(sacctmgr -n show cluster lab format=cluster)" ] ||
        sacctmgr -i -Q add cluster lab >/dev/null
}

all_idle() {
    [ "$(sinfo -h -N -o %T | grep -cE '^(idle|mixed|allocated)$')" = "$NODES" ]
}

start() {
    local i accounting=no
    [ "${1:-}" != --accounting ] || accounting=yes
    need munged slurmctld slurmd sinfo
    [ ${#LAB} -le 80 ] || fail "the path $LAB is too long for a socket: set LAB to a shorter one"
    mkdir -p "$LAB"/{munge,state,spool,log,pid}
    chmod 755 "$LAB" "$LAB/munge"
    [ -s "$LAB/munge/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$LAB/munge/munge.key")
    write_configuration "$accounting"
    running munged >/dev/null || {
        rm -f "$SOCKET" "$SOCKET.lock"
        munged --force --key-file="$LAB/munge/munge.key" --socket="$SOCKET" --num-threads=2 \
            --pid-file="$LAB/pid/munged.pid" --log-file="$LAB/log/munged.log" \
            --seed-file="$LAB/munge/munge.seed" 2>>"$LAB/log/munged.log"
    }
    [ "$accounting" = no ] || start_accounting
    running slurmctld >/dev/null || slurmctld
    for i in $(seq "$NODES"); do
        mkdir -p "$LAB/spool/n$i"
        running "slurmd.n$i" >/dev/null || slurmd -N "n$i"
    done
    wait_for 60 all_idle || { sinfo; fail "not all nodes are idle: see $LAB/log"; }
    sinfo
}

# end PROGRAM...: ask each to end, wait, and insist.
end() {
    local name pid pids=()
    for name in "$@"; do
        if pid=$(running "$name"); then
            kill "$pid" && pids+=("$pid")
        fi
    done
    for pid in ${pids[@]+"${pids[@]}"}; do
        wait_for 10 bash -c "! kill -0 $pid" || kill -9 "$pid" || true
    done
}

stop() {
    local i slurmds=()
    [ -s "$SLURM_CONF" ] || return 0
    if running slurmctld >/dev/null; then
        scancel --user="$USER_NAME" || true
        wait_for 10 bash -c '[ -z "$(squeue -h)" ]' || true
    fi
    for i in "$LAB"/pid/slurmd.*.pid; do slurmds+=("$(basename "$i" .pid)"); done
    end "${slurmds[@]}" slurmctld
    end slurmdbd
    end mariadbd munged
}

case "${1:-}" in
    start) start "${2:-}" ;;
    stop) stop ;;
    status) sinfo -N && squeue ;;
    env) echo "export SLURM_CONF='$SLURM_CONF'" ;;
    *) fail "usage: $0 start [--accounting] | stop | status | env" ;;
esac
