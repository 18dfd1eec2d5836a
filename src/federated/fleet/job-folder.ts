/** What a home keeps of one job: its documents, what this site has said to it, and its life-cycle, a line an event. */
import { appendFile, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { WeftError } from '../../errors.ts'
import { needFolders, readSummedJson, summedJson, writeFileAtomic } from '../../store/index.ts'
import { JobDamagedError } from '../plan/errors.ts'
import { checkOffer, checkStart } from './documents.ts'
import type { Join, Offer, Start } from './documents.ts'
import type { JobPlan } from '../plan/job-plan.ts'

const siteSchema = z.strictObject({
  schema: z.literal('weft.fed-site/1'),
  /** Path of the description of the data; null: this peer has none in the job. */
  data: z.string().nullable(),
  site: z.string().nullable(),
  dataset: z.string().nullable(),
  trainer: z.string().nullable(),
  /** What a person, or the policy of the site, has approved. */
  approved: z.strictObject({ plan_hash: z.string(), at: z.string(), by: z.string() }).nullable(),
  stopped: z.string().nullable(),
})

export type SiteFile = z.output<typeof siteSchema>

export const NO_SITE: SiteFile = {
  schema: 'weft.fed-site/1',
  data: null,
  site: null,
  dataset: null,
  trainer: null,
  approved: null,
  stopped: null,
}

/** Bytes of the life-cycle that are read back. */
const MAX_LOG = 16 << 20

export class JobFolder {
  readonly path: string
  readonly offer: Offer & { readonly plan: JobPlan }
  site: SiteFile = NO_SITE
  start: Start | undefined
  joins = new Map<string, Join>()

  private constructor(path: string, offer: Offer & { readonly plan: JobPlan }) {
    this.path = path
    this.offer = offer
  }

  get id(): string {
    return this.offer.job
  }

  static async create(root: string, value: unknown): Promise<JobFolder> {
    const offer = checkOffer(value)
    const path = join(root, offer.job)
    await needFolders(join(path, 'rounds'), 0o700)
    const folder = new JobFolder(path, offer)
    await folder.#write('offer.json', value as object)
    return folder
  }

  /** Jobs of a home; one whose files are damaged is named, and left out. */
  static async openAll(root: string, damaged: (job: string, error: unknown) => void): Promise<JobFolder[]> {
    const names = await readdir(root).catch((error: unknown) => {
      if ((error as { code?: string }).code !== 'ENOENT') damaged(root, new JobDamagedError(root, error))
      return []
    })
    const found: JobFolder[] = []
    for (const name of names.filter((each) => /^[0-9a-f]{16}$/.test(each))) {
      try {
        if (await isBegun(join(root, name))) found.push(await JobFolder.open(join(root, name)))
      } catch (error) {
        damaged(name, error)
      }
    }
    return found
  }

  /** @throws JobRefusedError: what lies there is not what was signed; JobDamagedError */
  static async open(path: string): Promise<JobFolder> {
    try {
      return await JobFolder.#read(path)
    } catch (error) {
      throw error instanceof WeftError ? error : new JobDamagedError(path, error)
    }
  }

  static async #read(path: string): Promise<JobFolder> {
    const folder = new JobFolder(path, checkOffer(await readJson(path, 'offer.json')))
    const site = await readJson(path, 'site.json')
    if (site !== undefined) folder.site = siteSchema.parse(site)
    const start = await readJson(path, 'start.json')
    if (start !== undefined) folder.start = checkStart(start, folder.offer)
    const joins = (await readJson(path, 'joins.json')) as Join[] | { readonly joins: Join[] } | undefined
    // a list alone is of a program from before there were sums
    for (const one of Array.isArray(joins) ? joins : (joins?.joins ?? [])) folder.joins.set(one.peer, one)
    return folder
  }

  async saveSite(changes: Partial<SiteFile>): Promise<void> {
    const site = { ...this.site, ...changes }
    await this.#write('site.json', site)
    this.site = site
  }

  async saveStart(start: Start): Promise<void> {
    await this.#write('start.json', start)
    this.start = start
  }

  async addJoin(one: Join): Promise<void> {
    await this.#saveJoins(new Map(this.joins).set(one.peer, one))
  }

  async removeJoin(peer: string): Promise<void> {
    const joins = new Map(this.joins)
    if (joins.delete(peer)) await this.#saveJoins(joins)
  }

  /** What is said of it elsewhere is what is on the disk. */
  async #saveJoins(joins: Map<string, Join>): Promise<void> {
    await this.#write('joins.json', { joins: [...joins.values()] })
    this.joins = joins
  }

  /** One event of the life-cycle: never data, never an update. */
  async note(at: string, event: string, facts: Readonly<Record<string, unknown>>): Promise<void> {
    await appendFile(join(this.path, 'log.jsonl'), `${JSON.stringify({ at, event, ...facts })}\n`, { mode: 0o600 })
  }

  async events(): Promise<Record<string, unknown>[]> {
    const text = await readFile(join(this.path, 'log.jsonl'), 'utf8').catch(() => '')
    const lines = text.slice(-MAX_LOG).split('\n')
    return lines.flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>]
      } catch {
        // The last line of a process that was killed, or the first of what was cut.
        return []
      }
    })
  }

  #write(name: string, value: object): Promise<void> {
    return writeFileAtomic(join(this.path, name), summedJson(value))
  }
}

/** False: the process ended before the offer was there, which is written first; nobody was told of the job. */
async function isBegun(path: string): Promise<boolean> {
  const names = await readdir(path)
  return names.some((name) => name.endsWith('.json') && !name.startsWith('.'))
}

async function readJson(path: string, name: string): Promise<unknown> {
  const text = await readFile(join(path, name), 'utf8').catch((error: unknown) => {
    // What is there and cannot be read is not what was never said.
    if ((error as { code?: string }).code === 'ENOENT') return undefined
    throw error
  })
  return text === undefined ? undefined : readSummedJson(text)
}

/** By its id, or a beginning of it that no other has. */
export function jobById(folders: ReadonlyMap<string, JobFolder>, job: string): JobFolder | undefined {
  const begun = job.length < 4 ? [] : [...folders.values()].filter(({ id }) => id.startsWith(job))
  return folders.get(job) ?? (begun.length === 1 ? begun[0] : undefined)
}

export function jobsNamed(folders: ReadonlyMap<string, JobFolder>, name: string): readonly JobFolder[] {
  return [...folders.values()].filter(({ offer }) => offer.plan.name === name)
}
