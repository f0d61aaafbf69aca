# Makes a Xen host of the machine: what Debian's /etc/init.d/xen does, without what no lab needs.
mkdir -p /dev/pts /run/xen /run/xenstored
mount -t devpts pts /dev/pts
mount -t xenfs xenfs /proc/xen || echo "lab: no /proc/xen"
programs=/usr/lib/xen-4.17/bin
$programs/xenstored --pid-file=/run/xenstored.pid
$programs/xen-init-dom0
$programs/xenconsoled --pid-file=/run/xenconsoled.pid
