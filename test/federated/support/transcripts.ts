/** Whole jobs of sites that keep transcripts, what they export, and who changes it behind them. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditReport, Filter, Finding } from '../../../src/federated/index.ts'
import { analysisPlan, linesOf, patients, writePatients } from './analysis.ts'
import type { TestMesh, TestSite } from './sites.ts'

const STATISTICS = [
  { kind: 'count' },
  { kind: 'quantiles', column: 'age', range: [0, 128], bins: 8, at: [0.5], rounds: 3 },
]

interface Place {
  readonly folder: string
  readonly mesh: TestMesh
}

export interface Run {
  readonly sites: readonly TestSite[]
  readonly job: string
  /** Of all exports, each in a folder of its own. */
  readonly out: string
}

/** A whole job of three sites, and what each exports of it. */
export async function runJob(
  { folder, mesh }: Place,
  value: object,
  paths: readonly string[],
  filter?: Filter,
): Promise<Run> {
  const sites = await Promise.all(paths.map((_, index) => mesh.site(`s${index}`)))
  if (filter !== undefined) for (const { federation } of sites) federation.hooks = { ...federation.hooks, filter }
  const { job } = await sites[0]!.federation.create(value)
  for (const [index, { federation }] of sites.entries()) await federation.joinJob({ job, data: paths[index]! })
  while (sites[0]!.federation.status(job).joined.length < sites.length) await sleep(10)
  await sites[0]!.federation.start(job)
  while (!sites.every(({ federation }) => federation.status(job).state === 'finished')) await sleep(20)
  const out = join(folder, 'out')
  for (const [index, { federation }] of sites.entries()) await federation.export(job, join(out, `s${index}`))
  return { sites, job, out }
}

export function runAnalysis(place: Place, changes: object = {}, filter?: Filter): Promise<Run> {
  const { folder } = place
  const paths = [1, 2, 3].map((seed) => writePatients(folder, `t${seed}`, linesOf(patients(seed, 40))))
  return runJob(place, analysisPlan(STATISTICS, { transcripts: 10, ...changes }), paths, filter)
}

export function findingsOf({ rounds, findings }: AuditReport): readonly Finding[] {
  return [...findings, ...rounds.flatMap((round) => round.findings)]
}

/** Every file of a kind in the exports. */
export function filesOf(out: string, kind: RegExp, folder = 'transcripts'): string[] {
  return readdirSync(out).flatMap((site) =>
    readdirSync(join(out, site, folder))
      .filter((name) => kind.test(name))
      .map((name) => join(out, site, folder, name)),
  )
}

export function signerOf(sites: readonly TestSite[]): (peer: string) => (bytes: Uint8Array) => Uint8Array {
  return (peer) => {
    const { identity } = sites.find((site) => site.identity.id === peer)!
    return (bytes) => identity.sign(bytes)
  }
}

/** The same bytes under a signature of their own. */
export function resigned(bytes: Buffer, sign: (bytes: Uint8Array) => Uint8Array): Buffer {
  const signed = bytes.subarray(0, -64)
  return Buffer.concat([signed, sign(new Uint8Array(signed))])
}

/** An aggregator that tells everybody, itself too, a sum with one number changed, in one round. */
export function lying(session: number): Filter {
  return (round, messages) =>
    Promise.resolve(
      messages.map((message) => {
        if (message.kind !== 'result' || round !== session) return message
        const payload = new Uint8Array(message.payload!)
        payload[0] = (payload[0]! + 7) & 255
        return { ...message, payload }
      }),
    )
}
