/** What this peer is busy with, read when somebody asks for its metrics. */
import type { Telemetry } from '../telemetry/index.ts'
import { summary } from './describe.ts'
import type { StatusNeeds } from './describe.ts'

type Needs = Omit<StatusNeeds, 'telemetry'>

const PEER_STATES = ['connected', 'connecting', 'away', 'draining'] as const

export function setGauges({ gauge, gauges }: Pick<Telemetry, 'gauge' | 'gauges'>, needs: Needs): void {
  const { mesh, stages, graphStages, requests, holdings, keeper, library } = needs
  const stats = (): (typeof holdings.hosts extends Map<number, infer Stats> ? Stats : never)[] => [
    ...holdings.hosts.values(),
  ]
  const sum = (values: Iterable<number>): number => [...values].reduce((all, value) => all + value, 0)
  for (const state of PEER_STATES)
    gauge('peers', () => (mesh?.peers() ?? []).filter((peer) => peer.state === state).length, { state })
  const ready = (): number => [...stages.list(), ...graphStages.list()].filter(({ state }) => state === 'ready').length
  gauge('stages', ready)
  gauge('sessions', () => sum(stats().map(({ sessions }) => sessions)))
  gauge('kv_cache_bytes', () => sum(stats().map(({ kvBytes }) => kvBytes)))
  gauge('stage_memory_bytes', () => sum(holdings.memory.values()))
  const asked = (isWaiting: boolean): number =>
    requests.list().filter(({ state }) => (state === 'waiting') === isWaiting).length
  gauge('requests_running', () => asked(false))
  gauge('requests_waiting', () => asked(true))
  let stored = 0
  const look = (): void =>
    void keeper
      .usage()
      .then((bytes) => (stored = bytes))
      .catch(() => undefined)
  gauge('store_bytes', () => {
    look()
    return stored
  })
  gauges('model_blocks_covered', () =>
    library.list().map((manifest) => [{ model: manifest.model }, summary(needs, manifest).covered] as const),
  )
}
