-- Prints the results of wrk in the key=value format of our own load generator.
function done(summary, latency)
   local e = summary.errors
   io.write(string.format("requests=%d\nerrors=%d\nseconds=%.3f\nper_second=%.0f\np50_us=%.1f\np99_us=%.1f\nmax_us=%.1f\n",
      summary.requests, e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6,
      summary.requests / (summary.duration / 1e6), latency:percentile(50), latency:percentile(99), latency.max))
end
