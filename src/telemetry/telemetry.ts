/** Counters, histograms and gauges of one peer, on a registry of its own: ten peers in a process do not mix. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Clock } from '../util/index.ts'
import { createLabelFilter } from './labels.ts'
import type { Labels } from './labels.ts'
import { HISTOGRAMS } from './histograms-table.ts'
import type { HistogramName, HistogramRow } from './histograms-table.ts'
import { COUNTERS, GAUGES } from './metrics-table.ts'
import type { CounterName, GaugeName, GaugeRow, MetricRow } from './metrics-table.ts'

export interface Telemetry {
  /** Adds `by` (default 1; negative or not finite is ignored: a counter never goes back). */
  count(name: CounterName, by?: number, labels?: Labels): void
  /** Records a time in seconds. */
  observe(name: HistogramName, seconds: number, labels?: Labels): void
  /** Sets a value, or says how to read it when it is asked for. */
  gauge(name: GaugeName, value: number | (() => number), labels?: Labels): void
  /** Values by label that are read when they are asked for, and gone when they are not among them any more. */
  gauges(name: GaugeName, read: () => readonly (readonly [labels: Labels, value: number])[]): void
  /** Totals of all counters by name, labels summed up. */
  counters(): Record<string, number>
  /** Prometheus text, version 0.0.4. */
  text(): Promise<string>
  /** Names that were counted without standing in the table: a test holds this empty. */
  undeclared(): readonly string[]
}

export interface TelemetryNeeds {
  readonly clock: Clock
}

export interface TelemetryInit {
  /** Put on every series, e.g. `{ peer }`. */
  readonly defaultLabels?: Readonly<Record<string, string>>
  readonly version?: string
}

/** Counters outside the table that are still kept: a typo must not end a fail-over, nor a loop fill memory. */
const MAX_UNDECLARED = 64

interface Series<Metric> {
  readonly metric: Metric
  readonly filter: (labels: Labels) => Labels
}

export function createTelemetry(needs: TelemetryNeeds, init: TelemetryInit = {}): Telemetry {
  const registry = new Registry()
  if (init.defaultLabels !== undefined) registry.setDefaultLabels(init.defaultLabels)
  const declared = new Map(Object.entries<MetricRow>(COUNTERS))
  const totals = new Map([...declared.keys()].map((name) => [name, 0]))
  const undeclared = new Set<string>()
  /** Made when they first move, or when all are read: they are 130 KB, and most of a peer's never move. */
  const counters = new Map<string, Series<Counter>>()
  const histograms = new Map<string, Series<Histogram>>()
  for (const [name, row] of Object.entries<HistogramRow>(HISTOGRAMS))
    histograms.set(name, histogramSeries(registry, name, row))
  const gauges = createGauges(registry)

  const made = (name: string, row: MetricRow): Series<Counter> => {
    const fresh = counterSeries(registry, name, row)
    counters.set(name, fresh)
    return fresh
  }
  const counterFor = (name: string): Series<Counter> | undefined => {
    const known = counters.get(name)
    if (known !== undefined) return known
    const row = declared.get(name)
    if (row !== undefined) return made(name, row)
    if (undeclared.size >= MAX_UNDECLARED || !/^[a-z][a-z0-9_]{0,63}$/.test(name)) return undefined
    undeclared.add(name)
    return made(name, { help: 'Not in the table of metrics.' })
  }

  const telemetry: Telemetry = {
    count: (name, by = 1, labels = {}) => {
      if (!(by >= 0) || by === Infinity) return
      const series = counterFor(name)
      if (series === undefined) return
      totals.set(name, (totals.get(name) ?? 0) + by)
      series.metric.inc(series.filter(labels), by)
    },
    observe: (name, seconds, labels = {}) => {
      const series = histograms.get(name)
      if (series === undefined || !Number.isFinite(seconds)) return
      series.metric.observe(series.filter(labels), seconds)
    },
    gauge: gauges.set,
    gauges: gauges.each,
    counters: () => Object.fromEntries(totals),
    text: async () => {
      gauges.read()
      for (const name of declared.keys()) counterFor(name)
      return registry.metrics()
    },
    undeclared: () => [...undeclared],
  }
  telemetry.gauge('build_info', 1, { version: init.version ?? 'unknown', node: process.version })
  telemetry.gauge('process_start_time', needs.clock.wall() / 1000)
  telemetry.gauge('process_resident_memory', () => process.memoryUsage.rss())
  return telemetry
}

interface Gauges {
  readonly set: Telemetry['gauge']
  readonly each: Telemetry['gauges']
  /** Takes the values of gauges that are functions. */
  readonly read: () => void
}

function createGauges(registry: Registry): Gauges {
  const gauges = new Map<string, Series<Gauge>>()
  for (const [name, row] of Object.entries<GaugeRow>(GAUGES)) gauges.set(name, gaugeSeries(registry, name, row))
  const readers = new Map<string, () => void>()
  return {
    set: (name, value, labels = {}) => {
      const series = gauges.get(name)
      if (series === undefined) return
      const kept = series.filter(labels)
      const key = `${name} ${JSON.stringify(kept)}`
      if (typeof value === 'number') {
        readers.delete(key)
        series.metric.set(kept, value)
      } else readers.set(key, () => series.metric.set(kept, value()))
    },
    each: (name, read) => {
      const series = gauges.get(name)
      if (series === undefined) return
      readers.set(name, () => {
        const values = read()
        series.metric.reset()
        for (const [labels, value] of values) series.metric.set(series.filter(labels), value)
      })
    },
    read: () => {
      for (const read of readers.values()) {
        try {
          read()
        } catch {
          // What it measures is gone just now: the last value stays, and the other metrics are still answered.
        }
      }
    },
  }
}

function counterSeries(registry: Registry, name: string, row: MetricRow): Series<Counter> {
  const unit = row.unit === undefined || name.includes(row.unit) ? '' : `_${row.unit}`
  const metric = new Counter({
    name: `weft_${name}${unit}_total`,
    help: row.help,
    labelNames: Object.keys(row.labels ?? {}),
    registers: [registry],
  })
  return { metric, filter: createLabelFilter(row.labels ?? {}) }
}

function histogramSeries(registry: Registry, name: string, row: HistogramRow): Series<Histogram> {
  const metric = new Histogram({
    name: row.exported ?? `weft_${name}_seconds`,
    help: row.help,
    buckets: [...row.buckets],
    labelNames: Object.keys(row.labels ?? {}),
    registers: [registry],
  })
  return { metric, filter: createLabelFilter(row.labels ?? {}) }
}

function gaugeSeries(registry: Registry, name: string, row: GaugeRow): Series<Gauge> {
  const metric = new Gauge({
    name: row.exported ?? `weft_${name}`,
    help: row.help,
    labelNames: Object.keys(row.labels ?? {}),
    registers: [registry],
  })
  return { metric, filter: createLabelFilter(row.labels ?? {}) }
}
