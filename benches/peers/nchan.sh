#!/usr/bin/env bash
# nginx with nchan from Debian's packages: one worker, messages in memory, publisher and subscribers
# over WebSocket.
source "$(dirname "$0")/common.sh"
MODES="fanout idle connect"
MODULE=/usr/lib/nginx/modules/ngx_nchan_module.so
peer_install() { [ -e $MODULE ] || apt_install nginx-light libnginx-mod-nchan; }
peer_version() {
    [ -e $MODULE ] && dpkg-query -W -f "nginx \${Version}, " nginx && dpkg-query -W -f "nchan \${Version}, one worker\n" libnginx-mod-nchan
}
peer_command() {
    local files
    files=$(ulimit -Hn)
    mkdir -p "$3/tmp"
    cat >"$3/nginx.conf" <<CONF
load_module $MODULE;
daemon off;
user $(id -un);
worker_processes 1;
worker_rlimit_nofile $files;
pid $3/nginx.pid;
error_log $3/error.log error;
events { worker_connections $files; }
http {
    access_log off;
    client_body_temp_path $3/tmp;
    proxy_temp_path $3/tmp;
    fastcgi_temp_path $3/tmp;
    uwsgi_temp_path $3/tmp;
    scgi_temp_path $3/tmp;
    nchan_shared_memory_size 256M;
    server {
        listen 127.0.0.1:$2 backlog=4096;
        location = /sub {
            nchan_subscriber websocket;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
            nchan_websocket_ping_interval 0;
        }
        location = /pub {
            nchan_publisher websocket;
            nchan_channel_id bench;
            nchan_message_buffer_length 100;
            nchan_message_timeout 10s;
        }
    }
}
CONF
    command=(nginx -c "$3/nginx.conf" -p "$3" -e "$3/error.log")
}
# The worker is a child of the process that was started.
peer_pids() {
    local worker
    until worker=$(pgrep -P "$1"); do sleep 0.05; done
    echo "$1,$worker"
}
peer_args() { echo "--protocol raw --url ws://127.0.0.1:$2/sub --publisher-path /pub"; }
main "$@"
