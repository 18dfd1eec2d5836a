/**
 * Three holders give a fourth host a model's tensors, on hosts in network namespaces whose links have rates
 * (shared/netlab): weft's fetch against the sum of three plain TCP connections, in turns within one run. Root and Linux
 * only. Without netlab, all four on the loopback, where the processor is the limit.
 *
 *   node bench/swarm.ts [--json] [--rounds 3] [--mib 64] [--rates 20,40,80] [--rtt 4]
 */
import { spawn } from 'node:child_process'
import { cpus, loadavg } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { netlabFor } from '../test/integration/netlab.ts'
import { nextLine, runHost } from './support/swarm-host.ts'
import type { HostAnswer, HostOrder, HostReady } from './support/swarm-host.ts'
import { median } from './support/median.ts'

interface Host {
  readonly ready: HostReady
  readonly ip: string
  readonly ask: (order: HostOrder) => Promise<HostAnswer>
  readonly end: () => void
}

const SELF = fileURLToPath(import.meta.url)

async function startHost(
  within: readonly string[],
  ip: string,
  bytes: number,
  bootstrap: readonly string[],
): Promise<Host> {
  const own = ['--disable-warning=ExperimentalWarning', SELF, '--host', ip, '--bytes', String(bytes)]
  const [file, ...args] = [
    ...within,
    process.execPath,
    ...own,
    ...bootstrap.flatMap((address) => ['--bootstrap', address]),
  ]
  const child = spawn(file!, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  const ready = await nextLine<HostReady>(lines)
  const ask = (order: HostOrder): Promise<HostAnswer> => {
    const answer = nextLine<HostAnswer>(lines)
    child.stdin.write(`${JSON.stringify(order)}\n`)
    return answer
  }
  return { ready, ip, ask, end: () => child.stdin.end() }
}

interface Round {
  readonly raw: number
  readonly ours: number
  readonly cpu: number
  readonly rawCpu: number
  readonly servers: number
  readonly counters: Readonly<Record<string, number>>
}

async function cpuOf(hosts: readonly Host[]): Promise<number> {
  const all = await Promise.all(hosts.map((host) => host.ask({ do: 'cpu' })))
  return all.reduce((sum, { cpu }) => sum + cpu, 0)
}

/** Rates in MB/s, processor time in seconds per 100 MiB. */
async function measure(holders: readonly Host[], fetcher: Host): Promise<Round> {
  const { blobs } = holders[0]!.ready
  const bytes = blobs.reduce((sum, blob) => sum + blob.bytes, 0)
  const ends = holders.map(({ ip, ready }) => [ip, ready.raw] as const)
  const raw = await fetcher.ask({ do: 'raw', ends, bytes })
  const before = await cpuOf(holders)
  const ours = await fetcher.ask({ do: 'fetch', blobs, holders: holders.map(({ ready }) => ready.id) })
  const per100 = (100 << 20) / bytes
  return {
    raw: bytes / 1000 / raw.ms,
    ours: bytes / 1000 / ours.ms,
    cpu: ours.cpu * per100,
    rawCpu: raw.cpu * per100,
    servers: ((await cpuOf(holders)) - before) * per100,
    counters: ours.counters,
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      mib: { type: 'string', default: '64' },
      rates: { type: 'string', default: '20,40,80' },
      rtt: { type: 'string', default: '4' },
      host: { type: 'string' },
      bytes: { type: 'string', default: '0' },
      bootstrap: { type: 'string', multiple: true, default: [] },
    },
  })
  if (values.host !== undefined) return runHost(values.host, Number(values.bytes), values.bootstrap)
  const { why, netlab, on } = netlabFor('swm')
  const rates = values.rates.split(',').map(Number)
  const lab = why === undefined
  if (lab) netlab('up', String(rates.length + 1), '--rtt', values.rtt)
  const hosts: Host[] = []
  try {
    if (lab)
      for (const [index, rate] of rates.entries())
        netlab('link', String(index + 1), '--rtt', values.rtt, '--rate', String(rate))
    const bytes = Number(values.mib) << 20
    for (const index of rates.keys()) {
      hosts.push(await startHost(lab ? on(index + 1) : [], lab ? `10.77.0.${index + 1}` : '127.0.0.1', bytes, []))
    }
    const last = rates.length + 1
    const bootstrap = hosts.map(({ ready }) => ready.address)
    const fetcher = await startHost(lab ? on(last) : [], lab ? `10.77.0.${last}` : '127.0.0.1', 0, bootstrap)
    const holders = [...hosts]
    hosts.push(fetcher)
    const rounds: Round[] = []
    for (let round = 0; round <= Number(values.rounds); round++) {
      const result = await measure(holders, fetcher)
      // The first one warms up.
      if (round > 0) rounds.push(result)
    }
    report(rounds, values.json, why ?? `links of ${rates.join(', ')} Mbit/s, ${values.rtt} ms round trip`)
  } finally {
    for (const host of hosts) host.end()
    if (lab) netlab('down')
  }
}

function report(rounds: readonly Round[], json: boolean, where: string): void {
  const machine = `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}`
  const of = (pick: (round: Round) => number): number => median(rounds.map(pick))
  const [raw, ours] = [of((round) => round.raw), of((round) => round.ours)]
  const ratio = of((round) => round.ours / round.raw)
  const [cpu, servers, rawCpu] = [of((round) => round.cpu), of((round) => round.servers), of((round) => round.rawCpu)]
  const extra = of((round) => round.counters['bytes_refetched'] ?? 0)
  if (json) {
    const result = {
      schema: 'weft.bench.swarm/1',
      machine,
      where,
      raw,
      ours,
      ratio,
      cpu,
      rawCpu,
      servers,
      bytes_refetched: extra,
    }
    process.stdout.write(`${JSON.stringify(result)}\n`)
    return
  }
  const lines = [
    `Three holders to a fourth, median of ${rounds.length} rounds, ${where}. ${machine}`,
    '',
    '| way | MB/s | of plain TCP | CPU s per 100 MiB: fetcher | holders, all |',
    '| --- | --- | --- | --- | --- |',
    `| three plain TCP connections | ${raw.toFixed(1)} | 1.00 | ${rawCpu.toFixed(2)} | |`,
    `| weft: verified, kept on disk | ${ours.toFixed(1)} | ${ratio.toFixed(2)} | ${cpu.toFixed(2)} | ${servers.toFixed(2)} |`,
    '',
    `Bytes that came twice or in vain: ${extra}.`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

await main()
