//! Route lookup in a table of 200 routes, beside bare matchit and, for static paths, a hash map.
//!
//! `cargo bench --bench route`

mod inputs;

use std::{collections::HashMap, hint::black_box};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::Method;
use inputs::routes::{MISS, PARAMETERS, STATIC, paths, router};

fn routing(criterion: &mut Criterion) {
    let table = router().compile().expect("routes should be valid");
    let paths = paths();
    let mut bare = matchit::Router::new();
    let mut map = HashMap::new();
    for (index, path) in paths.iter().enumerate() {
        bare.insert(path, index).expect("routes should be valid");
        if !path.contains('{') {
            map.insert(path.as_str(), index);
        }
    }
    let mut group = criterion.benchmark_group("route");
    for (name, (path, route)) in [("static", STATIC), ("two parameters", PARAMETERS), ("miss", (MISS, ""))] {
        let expected = (!route.is_empty()).then_some(route);
        assert_eq!(table.find(&Method::GET, path), expected, "{name}");
        assert_eq!(bare.at(path).ok().map(|found| paths[*found.value].as_str()), expected, "{name}");
        group.bench_function(BenchmarkId::new("windlass", name), |bencher| {
            bencher.iter(|| table.find(black_box(&Method::GET), black_box(path)));
        });
        group.bench_function(BenchmarkId::new("bare matchit", name), |bencher| {
            bencher.iter(|| bare.at(black_box(path)).ok().map(|found| *found.value));
        });
    }
    group.bench_function(BenchmarkId::new("bare hash map", "static"), |bencher| {
        bencher.iter(|| map.get(black_box(STATIC.0)));
    });
    group.finish();
}

criterion_group!(benches, routing);
criterion_main!(benches);
