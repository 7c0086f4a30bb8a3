# Turns the CSV of bench.sh into a Markdown table per scenario: medians of the passes and ratios of CPU time.
# Portable awk; rows keep the order of first appearance.
BEGIN { FS = "," }

function median(list, count,    i, j, value) {
    for (i = 2; i <= count; i++) {
        value = list[i]
        for (j = i - 1; j >= 1 && list[j] > value; j--) list[j + 1] = list[j]
        list[j + 1] = value
    }
    return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}

function median_of(column, cell,    i, list) {
    for (i = 1; i <= passes[cell]; i++) list[i] = data[column, cell, i] + 0
    return median(list, passes[cell])
}

# Not every load generator reports latency.
function latency(column, cell) {
    return data[column, cell, 1] == "" ? "–" : sprintf("%.0f", median_of(column, cell))
}

function ratio(value, base) { return base > 0 ? sprintf("%.2f", value / base) : "–" }

function fairness(cell,    i, low, high) {
    for (i = 1; i <= passes[cell]; i++) {
        if (data["least", cell, i] == "") continue
        low += data["least", cell, i]; high += data["most", cell, i]
    }
    return high > 0 ? sprintf("%.2f", low / high) : "–"
}

# Columns of the scenarios with idle connections.
function idle_head(scenario) {
    return (idle[scenario] ~ /bytes/ ? " bytes/connection |" : "") \
        (idle[scenario] ~ /idle/ ? " idle CPU % |" : "")
}
function idle_rule(scenario) {
    return (idle[scenario] ~ /bytes/ ? "---|" : "") (idle[scenario] ~ /idle/ ? "---|" : "")
}
function idle_cells(scenario, cell) {
    return (idle[scenario] ~ /bytes/ ? sprintf(" %.0f |", median_of("bytes", cell)) : "") \
        (idle[scenario] ~ /idle/ ? sprintf(" %.2f |", median_of("idle", cell)) : "")
}

NR > 1 {
    cell = $1 SUBSEP $2
    if (!($1 in seen)) { seen[$1] = 1; scenarios[++scenario_count] = $1 }
    if (!(cell in passes)) { cells[$1, ++cell_count[$1]] = $2; role[cell] = $3; version[$2] = $4 }
    i = ++passes[cell]
    data["rate", cell, i] = $9; data["cpu", cell, i] = $10
    data["p50", cell, i] = $11; data["p99", cell, i] = $12
    data["least", cell, i] = $13; data["most", cell, i] = $14; data["peak", cell, i] = $15
    data["bytes", cell, i] = $16; data["idle", cell, i] = $17
    if ($16 != "") idle[$1] = "bytes"
    if ($17 != "") idle[$1] = "bytes idle"
}

END {
    for (s = 1; s <= scenario_count; s++) {
        scenario = scenarios[s]; best = 0; floor = 0
        for (c = 1; c <= cell_count[scenario]; c++) {
            peer = cells[scenario, c]; cpu[peer] = median_of("cpu", scenario SUBSEP peer)
            if (role[scenario, peer] == "peer" && (best == 0 || cpu[peer] < best)) best = cpu[peer]
            if (role[scenario, peer] == "floor") floor = cpu[peer]
        }
        printf "### %s\n\n| server | CPU µs/request | × best peer | × floor | requests/s ", scenario
        printf "| p50 µs | p99 µs | fairness min/max | peak MiB |%s\n", idle_head(scenario)
        print "|---|---|---|---|---|---|---|---|---|" idle_rule(scenario)
        for (c = 1; c <= cell_count[scenario]; c++) {
            peer = cells[scenario, c]; cell = scenario SUBSEP peer
            note = role[cell] == "fixed" ? ", a fixed text" : ""
            printf "| %s (%s%s) | %.2f | %s | %s | %.0f ", peer, version[peer], note, cpu[peer], \
                ratio(cpu[peer], best), ratio(cpu[peer], floor), median_of("rate", cell)
            printf "| %s | %s | %s | %.1f |%s\n", latency("p50", cell), latency("p99", cell), \
                fairness(cell), median_of("peak", cell) / 1024, idle_cells(scenario, cell)
        }
        print ""
    }
}
