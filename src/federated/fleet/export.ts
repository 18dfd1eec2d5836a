/** What came of a job, in files: each round's model, the statistics, the result, and the model as one that weft imports. */
import { copyFile, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic, makeFolders } from '../../store/index.ts'
import { JobStateError } from '../plan/errors.ts'
import { isAnalysis } from '../plan/job-plan.ts'
import { encodeState } from '../rounds/state.ts'
import type { Pooled } from '../site/statistics.ts'
import { resultsOf } from './results.ts'
import type { RunningJob } from './running-job.ts'
import { VOTES_FILE, votesFile } from './state-votes.ts'

export interface RoundLine {
  readonly round: number
  readonly sites: number
  readonly records: number | null
  readonly loss: number | null
}

export interface FedResult {
  readonly schema: 'weft.fed-result/1'
  readonly plan: string
  readonly rounds: readonly RoundLine[]
  readonly metrics: { readonly sites: Readonly<Record<string, Readonly<Record<string, number>>>> }
}

export interface Exported {
  readonly schema: 'weft.fed-export/1'
  readonly job: string
  readonly out: string
  readonly files: readonly string[]
}

/** Of the columns, as `statistics.json` has them. */
export function statisticsFile({ columns }: Pooled): object {
  return { columns: Object.fromEntries(columns.map(({ column, count, mean, sd }) => [column, { count, mean, sd }])) }
}

/** The last step of each round, out of the life-cycle. */
export function roundLines(events: readonly Record<string, unknown>[]): RoundLine[] {
  const rounds = new Map<number, RoundLine>()
  for (const { event, round, members, records, loss } of events) {
    if (event !== 'round' || typeof round !== 'number') continue
    const line = { round, sites: Number(members), records: numberOr(records), loss: numberOr(loss) }
    rounds.set(round, line)
  }
  return [...rounds.values()].sort((left, right) => left.round - right.round)
}

function numberOr(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

/** Where the plan is an analysis: what it found of all together. How far this site is from them stays out: exports are passed on. */
async function exportResults(running: RunningJob, out: string): Promise<Exported> {
  const { own: _, ...results } = await resultsOf(running)
  await makeFolders(out)
  const name = 'analysis.json'
  await writeFileAtomic(join(out, name), `${JSON.stringify(results, null, 2)}\n`, { exported: true })
  return { schema: 'weft.fed-export/1', job: running.folder.id, out, files: [name] }
}

/** What an auditor needs: `weft fed audit` reads the folder. */
async function exportProofs({ transcripts, signed, folder, standing }: RunningJob, out: string): Promise<string[]> {
  const files: string[] = []
  const put = async (name: string, bytes: Uint8Array): Promise<void> => {
    await writeFileAtomic(join(out, name), bytes, { exported: true })
    files.push(name)
  }
  const copy = async (to: string, kept: readonly { readonly name: string; readonly path: string }[]): Promise<void> => {
    for (const { name, path } of kept) {
      await copyFile(path, join(out, to, name))
      files.push(`${to}/${name}`)
    }
  }
  const results = await signed.files()
  const to = transcripts === undefined ? 'signed' : 'transcripts'
  if (transcripts === undefined && results.length === 0) return []
  await makeFolders(join(out, to), 0o700)
  await put(`${to}/offer.json`, Buffer.from(`${JSON.stringify(folder.offer)}\n`))
  await put(`${to}/start.json`, Buffer.from(`${JSON.stringify(folder.start)}\n`))
  const { state, hash, votes } = standing.current
  await put(`${to}/state.bin`, encodeState(state))
  if (votes !== undefined && votes.length > 0)
    await put(`${to}/${VOTES_FILE}`, votesFile({ job: folder.id, state: hash, votes }))
  await copy(to, results)
  if (transcripts !== undefined) await copy(to, await transcripts.files())
  return files
}

/** Rounds and signatures of two jobs in one folder would be taken for those of one. @throws JobStateError */
async function checkFolder(job: string, out: string): Promise<void> {
  for (const name of ['signed', 'transcripts']) {
    const text = await readFile(join(out, name, 'offer.json'), 'utf8').catch(() => undefined)
    if (text !== undefined && !text.includes(`"job":"${job}"`))
      throw new JobStateError(job, `${out} holds what came of another job: choose another with --out`)
  }
}

export async function exportJob(running: RunningJob, out: string): Promise<Exported> {
  await checkFolder(running.folder.id, out)
  const made = isAnalysis(running.view.plan) ? await exportResults(running, out) : await exportModel(running, out)
  return { ...made, files: [...made.files, ...(await exportProofs(running, out))] }
}

async function exportModel(running: RunningJob, out: string): Promise<Exported> {
  const { folder, standing } = running
  const held = await running.weights()
  const { pooled } = standing.current.state
  if (held === undefined || pooled === null) throw new JobStateError(folder.id, 'there is no model yet')
  await makeFolders(out)
  const files: string[] = []
  const from = join(folder.path, 'rounds')
  for (const name of (await readdir(from)).filter((each) => each.endsWith('.npz')).sort()) {
    await copyFile(join(from, name), join(out, name))
    files.push(name)
  }
  const put = async (name: string, value: object): Promise<void> => {
    await writeFileAtomic(join(out, name), `${JSON.stringify(value, null, 2)}\n`, { exported: true })
    files.push(name)
  }
  await put('statistics.json', statisticsFile(pooled))
  const { trainer } = held.site
  const metrics = (await trainer.metrics(held.weights, 'test')) ?? {}
  const result: FedResult = {
    schema: 'weft.fed-result/1',
    plan: folder.offer.plan_hash,
    rounds: roundLines(await folder.events()),
    metrics: { sites: { [trainer.site]: { n: trainer.testRecords, ...metrics } } },
  }
  await put('result.json', result)
  files.push(...(await trainer.write(held.weights, out)))
  return { schema: 'weft.fed-export/1', job: folder.id, out, files }
}
