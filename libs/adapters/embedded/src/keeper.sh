# The keeper: stops the servers when the program that started them is gone.
#
# Reads lines from a pipe whose other end only that program holds: `watch <pid> <signal>`, `forget <pid>`. When the
# pipe closes, however the program ended (kill -9 too), it sends each server still watched its signal, waits up to
# $1 tenths of a second, and kills what is left. Then it removes the folder $2, if one is given.

trap '' INT TERM HUP QUIT

alive() {
  kill -0 "$1" 2>/dev/null || return 1
  # A zombie has ended; only nobody has asked for its exit code yet.
  if read -r stat 2>/dev/null <"/proc/$1/stat"; then
    case ${stat##*) } in Z*) return 1 ;; esac
  fi
  return 0
}

watched=
while read -r verb pid signal; do
  case $verb in
    watch) watched="$watched $pid:$signal" ;;
    forget)
      left=
      for one in $watched; do [ "${one%%:*}" = "$pid" ] || left="$left $one"; done
      watched=$left
      ;;
  esac
done

for one in $watched; do kill -s "${one#*:}" "${one%%:*}" 2>/dev/null; done

step=0
left=$watched
while [ -n "$left" ] && [ "$step" -lt "$1" ]; do
  left=
  for one in $watched; do alive "${one%%:*}" && left="$left $one"; done
  [ -z "$left" ] || sleep 0.1
  step=$((step + 1))
done
for one in $left; do kill -s KILL "${one%%:*}" 2>/dev/null; done
[ -z "$2" ] || rm -rf -- "$2"
