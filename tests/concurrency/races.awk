# Sorts the reports of the thread sanitizer, and fails if one of them is a race of the store.
#
# The standard library is not built for the sanitizer, so two of its ways to order things are invisible: the fence with
# which the last owner of an `Arc` sees what all others did, and waiting for a contended lock. Both make reports of things
# that are no races. Therefore a report counts where the access itself, not counting frames of the standard library, lies in
# the store, and is not the end of an `Arc`. The rest is counted by crate, so that a new kind is noticed.

/^WARNING: ThreadSanitizer: data race/ { in_report = 1; stack = 0; ours = 0; where = ""; text = ""; reports++ }
in_report { text = text $0 "\n" }
# Two stacks: the access, and the one before it.
in_report && /(Write|Read|Atomic|Previous).* of size/ { stack++; found = 0; ends = 0 }
in_report && stack > 0 && stack < 3 && !found && /^ +#[0-9]+ / {
  if ($0 ~ /drop_glue|drop_slow|dealloc|drop_in_place|sync::Arc/) ends = 1
  if ($0 !~ /\/rustc\/|<null>/) {
    found = 1
    if (index($0, root) && !ends) ours++
    at = $0
    sub(/.*registry\/src\/[^\/]*\//, "", at); sub(/\/.*/, "", at)
    if (index($0, root)) at = "the store"
    if (ends) at = at ", at the end of an Arc or a box"
    if (where == "") where = at
  }
}
/^SUMMARY: ThreadSanitizer: data race/ && in_report {
  kinds[where]++
  if (ours) { races++; print text }
  in_report = 0
}
END {
  printf "thread sanitizer: %d reports, of which %d count\n", reports, races
  for (kind in kinds) printf "%6d  %s\n", kinds[kind], kind
  exit races > 0
}
