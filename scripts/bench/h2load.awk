# Turns the output of h2load into the key=value format of our own load generator. `body` is the size of every
# reply, `open` the number of replies that the end of the run may cut.
/^finished in / { seconds = $3 + 0; if ($3 ~ /ms,$/) seconds /= 1000 }
/^requests:/ { requests = $8; errors = $10 + $12 + $14 }
/^status codes:/ { errors += $5 + $7 + $9 }
/^traffic:/ { data = $(NF - 1); gsub(/[()]/, "", data); data += 0 }
/^req\/s / { least = $3; most = $4 }
END {
    # One of the bodies was too short or too long.
    if (data < requests * body || data > (requests + open) * body) errors++
    printf "requests=%d\nerrors=%d\n", requests, errors
    printf "seconds=%.3f\nper_second=%.0f\n", seconds, requests / seconds
    printf "connection_min=%.0f\nconnection_max=%.0f\n", least * seconds, most * seconds
}
