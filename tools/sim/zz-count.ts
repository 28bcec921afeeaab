import { makePlan } from '@belfry/simulation';
let n = 0, q = 0, all = 0;
for (let s = 1; s <= 40; s++) { const p = makePlan(s); let k = 0; for (const st of p.steps) { if (st.kind === 'get') q++; if (st.kind === 'cut node') { all++; if (p.nodes > 1 && st.services.length === 5 && st.direction === 'both' && st.forMs > 4000) k++; } } n += k; }
console.log(n, all, q / 40);
