import { SPANS, type SpanDescription } from '@belfry/adapter-otel';
import type { EventType } from '@belfry/protocol';
import { METRICS, type MetricDescription } from './metrics.ts';

const EVENTS: { readonly [Type in EventType]: string } = {
  created: 'A task was made.',
  updated: 'A task was changed.',
  cancelled: 'Without `execution`: a task was cancelled. With it: an execution of a cancelled task ended.',
  succeeded: 'An execution is over.',
  failed: 'An execution of a cancelled task ended with a failure.',
  retrying: 'An attempt failed or timed out, and there will be another; `error` says why.',
  dead: 'An execution is over without success.',
  skipped:
    'Missed fires of a task were skipped by its catch-up policy, or since very many waited when its schedule changed: from `first` to `last`, `count` of them.',
};

/** `docs/telemetry.md`: what Belfry tells about itself, from the tables that the code works with. */
export function telemetryPage(): string {
  const metrics: [string, MetricDescription][] = Object.entries(METRICS);
  const spans: [string, SpanDescription][] = Object.entries(SPANS);
  const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ');
  return `# Metrics, spans and events

<!-- Generated from the code. To write it anew: npx vitest run apps/belfry/src/server/telemetry-page.test.ts -u -->

## Metrics

\`/metrics\` of every server process, in Prometheus' text format, and with them those of Node and the process (\`nodejs_…\`, \`process_…\`).
A process shows the metrics of the roles that it runs; counters of other roles stay 0.

${table(
  ['metric', 'role', 'type', 'what it says', 'labels'],
  metrics.map(([name, { role, type, help, labels = {} }]) => [
    `\`${name}\``,
    role,
    type,
    help,
    Object.entries(labels)
      .map(([label, values]) => `\`${label}\`: ${values}`)
      .join('. '),
  ]),
)}

## Spans

With the standard variables of OpenTelemetry, \`belfry dev\`, \`belfry server\` and \`belfry worker\` send spans. An exporter has to be asked for, by
\`OTEL_EXPORTER_OTLP_ENDPOINT\`, \`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT\`, \`OTEL_TRACES_EXPORTER\` (\`otlp\`, \`console\`) or \`OTEL_CONFIG_FILE\`;
else the SDK is not loaded. \`OTEL_SDK_DISABLED=true\` turns everything off. OpenTelemetry's own metrics and logs are off unless
\`OTEL_METRICS_EXPORTER\` or \`OTEL_LOGS_EXPORTER\` asks for them. Of the process, its service name, host and pid are told, not its
command line; with \`OTEL_CONFIG_FILE\`, that file decides.

${table(
  ['span', 'made by', 'kind', 'what it stands for', 'joined to', 'attributes'],
  spans.map(([name, { madeBy, kind, stands, joined, attributes }]) => [
    `\`${name}\``,
    madeBy,
    kind,
    stands,
    joined,
    code(attributes),
  ]),
)}

Contexts are passed on as W3C \`traceparent\` headers; \`tracestate\` is not kept with a task. A worker of one's own makes \`belfry.run\` when its process
has set up an OpenTelemetry SDK.

Where the scheduler has no SDK, a one-time task's work message carries the context of its creation, so that a worker's spans still join the
client's trace. A recurring task's carries none: as children of the creation, years of fires would make one trace without end, and an invented id would
lead nowhere.

## Lifecycle events

Subjects and fields are in [protocol.md](protocol.md#events).

${table(
  ['type', 'when'],
  Object.entries(EVENTS).map(([type, when]) => [`\`${type}\``, when]),
)}
`;
}

/** Columns as wide as their widest cell, as the formatter wants them. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) => Math.max(...[head, ...rows].map((row) => (row[at] ?? title).length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
