# Starts the components of a control plane and ends them when its stdin ends.
#
# Its stdin is a pipe whose other end only the Rust process holds. However that process goes, by
# an exit, a panic or SIGKILL, the kernel closes the pipe: the end depends on nothing that the process
# would have to do.
#
# From the environment: PROGRAM, DATA, DATABASE_PORT, API_PORT. The arguments go to kube-apiserver.
set -u
cd "$DATA" || exit 1

pids=
component() {
	name=$1
	shift
	"$PROGRAM" "$name" "$@" </dev/null >"$name.log" 2>&1 &
	echo $! >"$name.pid"
	pids="$pids $!"
}

# The data is thrown away, so nothing needs a graceful end. $! is there for a signal that comes
# between the start of a component and the note of its id.
stop() {
	trap '' INT TERM HUP
	# shellcheck disable=SC2086
	kill -KILL $pids ${!-}
	wait
	cd / && rm -rf "$DATA"
	exit
}
trap stop INT TERM HUP

# Port 0: nobody asks the peer port of a single member. 8 GiB: `make bench ONLY=attack-large-2000` makes 4,000 objects of 1 MB.
component etcd \
	--data-dir etcd \
	--quota-backend-bytes 8589934592 \
	--listen-client-urls "http://127.0.0.1:$DATABASE_PORT" \
	--advertise-client-urls "http://127.0.0.1:$DATABASE_PORT" \
	--listen-peer-urls http://127.0.0.1:0 \
	--log-level warn \
	--unsafe-no-fsync

# ServiceAccount: pods are never run here, so they need no mounted token.
# endpoint-reconciler: it would complain that a loopback address can't be an endpoint.
# priority-and-fairness: no test shall wait because another one is busy.
component kube-apiserver \
	--etcd-servers "http://127.0.0.1:$DATABASE_PORT" \
	--bind-address 127.0.0.1 \
	--advertise-address 127.0.0.1 \
	--secure-port "$API_PORT" \
	--cert-dir certs \
	--authorization-mode RBAC \
	--token-auth-file tokens.csv \
	--service-account-issuer https://kubernetes.default.svc \
	--service-account-key-file service-account.key \
	--service-account-signing-key-file service-account.key \
	--service-cluster-ip-range 10.0.0.0/24 \
	--disable-admission-plugins ServiceAccount \
	--endpoint-reconciler-type none \
	--enable-priority-and-fairness=false \
	--max-requests-inflight 3000 \
	--max-mutating-requests-inflight 1000 \
	"$@"

# kube-controller-manager gives up when the API server isn't ready within 10 s, which a busy machine
# takes. So it starts at the one line that is ever written to the pipe.
if read -r _; then
	component kube-controller-manager \
		--kubeconfig kube-controller-manager.kubeconfig \
		--controllers namespace-controller,garbage-collector-controller,serviceaccount-controller,clusterrole-aggregation-controller \
		--leader-elect=false \
		--secure-port 0 \
		--concurrent-namespace-syncs 50 \
		--kube-api-qps 1000 \
		--kube-api-burst 2000
fi

while read -r _; do :; done
stop
