# A private PostgreSQL cluster: never port 5432, never the system's cluster. Sourced, after common.sh.
#
# cluster_paths DIR sets CLUSTER (its folder), SOCKET (the socket's folder) and DATA.

# PostgreSQL refuses to run as root: then the cluster is that of the user `postgres`.
as_cluster_user() {
  if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

bin() { echo "$("$PG_CONFIG" --bindir)/$1"; }

cluster_paths() {
  CLUSTER=$1
  # A folder that the user postgres cannot reach (a checkout in root's home) or whose path is too long for a socket.
  if [ "${#CLUSTER}" -gt 80 ] || { [ "$(id -u)" = 0 ] && ! as_cluster_user test -x "$(dirname "$CLUSTER")"; }; then
    CLUSTER=/var/tmp/observe_bridge-$(id -u)-$(basename "$1" | tr -d .)
  fi
  DATA=$CLUSTER/data
  SOCKET=$CLUSTER
}

cluster_running() { [ -s "$DATA/postmaster.pid" ] && as_cluster_user "$(bin pg_ctl)" -D "$DATA" status >/dev/null 2>&1; }

cluster_port() { sed -n 4p "$DATA/postmaster.pid"; }

free_port() {
  local port
  for port in $(seq "${1:-54320}" 54420); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  die "no free port between ${1:-54320} and 54420"
}

# cluster_start SETTING...: makes the cluster where it is not there yet, and starts it.
cluster_start() {
  local port setting
  cluster_running && return
  if [ ! -s "$DATA/PG_VERSION" ]; then
    step "initdb in $DATA"
    mkdir -p "$CLUSTER"
    [ "$(id -u)" = 0 ] && chown postgres: "$CLUSTER"
    chmod 700 "$CLUSTER"
    (umask 077 && head -c 18 /dev/urandom | base64 >"$CLUSTER/password")
    [ "$(id -u)" = 0 ] && chown postgres: "$CLUSTER/password"
    # Whoever may enter the folder may connect over the socket; over TCP a password is asked for.
    as_cluster_user "$(bin initdb)" -D "$DATA" -U postgres --encoding=UTF8 --locale=C.UTF-8 \
      --auth-local=trust --auth-host=scram-sha-256 --pwfile="$CLUSTER/password" >"$LOGS/initdb.log" 2>&1 ||
      { tail -n 5 "$LOGS/initdb.log" >&2; die "initdb failed"; }
  fi
  port=$(free_port)
  {
    echo "listen_addresses = '127.0.0.1'"
    echo "port = $port"
    echo "unix_socket_directories = '$SOCKET'"
    for setting in "$@"; do echo "$setting"; done
  } | as_cluster_user tee "$DATA/postgresql.auto.conf" >/dev/null
  step "starting PostgreSQL on port $port"
  as_cluster_user "$(bin pg_ctl)" -D "$DATA" -l "$CLUSTER/server.log" -w start >/dev/null ||
    { tail -n 10 "$CLUSTER/server.log" >&2; die "the server does not start, see $CLUSTER/server.log"; }
}

cluster_stop() {
  cluster_running || return 0
  as_cluster_user "$(bin pg_ctl)" -D "$DATA" -m fast -w stop >/dev/null
}

# query DATABASE ARG...: psql over the socket.
query() {
  local database=$1
  shift
  PGOPTIONS='-c client_min_messages=warning' "$(bin psql)" -X -q -v ON_ERROR_STOP=1 -h "$SOCKET" -p "$(cluster_port)" \
    -U postgres -d "$database" "$@"
}
