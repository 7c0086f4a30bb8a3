-- Prints the results of wrk in the key=value format of our own load generator.
function done(summary, latency)
   local e, seconds = summary.errors, summary.duration / 1e6
   local function put(format, value) io.write(string.format(format .. "\n", value)) end
   put("requests=%d", summary.requests)
   put("errors=%d", e.connect + e.read + e.write + e.status + e.timeout)
   put("seconds=%.3f", seconds)
   put("per_second=%.0f", summary.requests / seconds)
   put("p50_us=%.1f", latency:percentile(50))
   put("p99_us=%.1f", latency:percentile(99))
   put("max_us=%.1f", latency.max)
end
