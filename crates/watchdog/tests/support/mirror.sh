# The same for the modes with a process per request: what the environment and stdin say.
case "$Http_Path" in
/fail) echo partial; exit 3 ;;
/hang-up) kill -9 $$ ;;
/stderr) echo complaint >&2; echo done ;;
/empty) ;;
/large) head -c 20000 /dev/zero | tr '\0' x ;;
/slow) sleep 1; echo late ;;
/chunked) echo one; echo two; echo three ;;
*) env | grep '^Http_' | LC_ALL=C sort; echo --; cat ;;
esac
