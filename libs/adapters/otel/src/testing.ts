import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as it arrived over OTLP. */
export interface CollectedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly attributes: { readonly [name: string]: unknown };
  readonly failed: boolean;
}

export interface Collector extends AsyncDisposable {
  /** The variables that send a process's spans here, soon. */
  readonly env: { readonly [name: string]: string };
  readonly spans: readonly CollectedSpan[];
  /** Attributes of the processes that sent. */
  readonly resources: readonly { readonly [name: string]: unknown }[];
  /** Paths asked for: `/v1/traces` and whatever else was sent. */
  readonly paths: ReadonlySet<string>;
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: { readonly [type: string]: unknown };
}

/** The part of OTLP/JSON that is read here. */
interface OtlpTraces {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly (Pick<CollectedSpan, 'name' | 'traceId' | 'spanId'> & {
        readonly parentSpanId?: string;
        readonly links?: CollectedSpan['links'];
        readonly attributes: readonly OtlpAttribute[];
        readonly status: { readonly code: number };
      })[];
    }[];
  }[];
}

const STATUS_ERROR = 2;

/** A collector of OTLP/HTTP, JSON, on loopback. */
export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const resources: { readonly [name: string]: unknown }[] = [];
  const paths = new Set<string>();
  const take = (body: OtlpTraces): void => {
    for (const { resource, scopeSpans } of body.resourceSpans) {
      const attributes = attributesOf(resource.attributes);
      resources.push(attributes);
      const service = String(attributes['service.name']);
      for (const span of scopeSpans.flatMap((scope) => scope.spans)) {
        const { name, traceId, spanId, parentSpanId, links = [] } = span;
        const own = { attributes: attributesOf(span.attributes), failed: span.status.code === STATUS_ERROR };
        spans.push({ service, name, traceId, spanId, parentSpanId: parentSpanId || undefined, links, ...own });
      }
    }
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    paths.add(request.url ?? '');
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url === '/v1/traces') take(JSON.parse(Buffer.concat(chunks).toString()) as OtlpTraces);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    spans,
    resources,
    paths,
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '50',
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function attributesOf(attributes: readonly OtlpAttribute[]): { [name: string]: unknown } {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
