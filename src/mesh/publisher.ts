/** What this peer says of itself and decides for models, as records. */
import type { AnyManifest } from '../models/index.ts'
import { checkPlacement } from '../placement/index.ts'
import type { Clock } from '../util/index.ts'
import type { OwnRecords } from './own-records.ts'
import { asPlacement, standingPlacement } from './placements.ts'
import type { BodyOf } from './bodies.ts'
import { MAX_IMPORTS, MAX_SHUNNED, RECLAIM_MS } from './limits.ts'
import type { MeshNeeds } from './needs.ts'
import type { RecordBook } from './record-book.ts'
import type { StoredRecord } from './stored-record.ts'
import { recordId } from './records.ts'
import type { MeshRecord } from './records.ts'
import type {
  AuditRecord,
  ImportRecord,
  MeshPlacement,
  ModelHoldings,
  PeerProfile,
  PlacementInit,
  ReadyStage,
} from './types.ts'

export interface Publisher {
  profile(profile: PeerProfile): Promise<void>
  holdings(models: readonly ModelHoldings[]): Promise<void>
  manifest(manifest: AnyManifest): Promise<void>
  withdrawManifest(digest: string): Promise<void>
  /** @throws PlacementGapError and its kin */
  placement(model: string, init: PlacementInit): Promise<MeshPlacement>
  withdrawPlacement(model: string): Promise<void>
  audit(record: AuditRecord): Promise<void>
  importing(source: string, record: ImportRecord | null): Promise<void>
  /** A record of ours from an earlier life came back: it is said anew, or taken back when it holds no longer. */
  reclaim(record: MeshRecord): void
}

export interface PublisherNeeds extends Pick<MeshNeeds, 'levels'> {
  readonly self: string
  readonly clock: Clock
  readonly own: OwnRecords
  readonly book: RecordBook
}

export function createPublisher({ self, clock, own, book, levels }: PublisherNeeds): Publisher {
  const reclaimed = new Map<string, number>()
  const imports = new Map<string, BodyOf<'imports'>['imports'][number]>()
  let serial = 0
  const publisher: Publisher = {
    async profile(profile) {
      await own.publish('profile', '', () => ({ ...profile, addresses: [...profile.addresses] }))
    },
    async holdings(models) {
      await own.publish('holdings', '', () => ({ models: models.map(copyHoldings) }))
    },
    async manifest({ model, digest, blocks, boundary, license }) {
      const bytes = sizeOf(blocks)
      const plain = { model, digest, bytes, blocks: blocks.length, boundary, license: license.slice(0, 200) }
      const measured = levels?.(digest)
      const told = measured && { low: [...measured.low], high: [...measured.high] }
      const body = told === undefined ? plain : { ...plain, levels: told }
      const old = book.find('manifest', self, digest)?.body
      // Said before: the same again would only wake everybody.
      const isSame = JSON.stringify(old?.levels) === JSON.stringify(told)
      if (old?.model === model && old.license === plain.license && isSame) return
      await own.publish('manifest', digest, () => body)
    },
    async withdrawManifest(digest) {
      const standing = book.find('manifest', self, digest)
      if (standing !== undefined && standing.body !== null) await own.publish('manifest', digest, () => null)
    },
    async placement(model, init) {
      const { stages, after } = init
      checkPlacement(stages, stages.at(-1)?.to ?? 1)
      const body = placementBody(init)
      const isOvertaken = (standing: StoredRecord<'placement'> | undefined): boolean =>
        after !== undefined && (standing?.body.epoch !== after.epoch || standing.author !== after.author)
      const before = standingPlacement(book, model)
      if (before !== undefined && isOvertaken(before)) return asPlacement(before)
      return asPlacement(
        await own.publish('placement', model, () => {
          const standing = standingPlacement(book, model)
          const epoch = (standing?.body.epoch ?? 0) + 1
          // What has come in the meantime is said again, by us, and not undone.
          return standing !== undefined && isOvertaken(standing) ? { ...standing.body, epoch } : { ...body, epoch }
        }),
      )
    },
    async withdrawPlacement(model) {
      const standing = standingPlacement(book, model)?.body
      if (standing === undefined || standing.stages.length === 0) return
      const { digest, kind } = standing
      await own.publish('placement', model, () => {
        return { digest, kind, stages: [], epoch: (standingPlacement(book, model)?.body.epoch ?? 0) + 1 }
      })
    },
    async audit({ seen, clones = [], ...head }) {
      const told = clones.length === 0 ? {} : { clones: [...clones] }
      await own.publish('audit', '', () => ({ ...head, seen: seen.map((each) => ({ ...each })), ...told }))
    },
    async importing(source, record) {
      if (record === null && !imports.has(source)) return
      imports.delete(source)
      if (record !== null) imports.set(source, { ...record, source, serial: ++serial })
      const over = (state: string): boolean => state === 'done' || state === 'failed'
      const spare = [...imports.values()].find(({ state }) => over(state)) ?? imports.values().next().value
      if (imports.size > MAX_IMPORTS && spare !== undefined) imports.delete(spare.source)
      await own.publish('imports', '', () => ({ imports: [...imports.values()] }))
    },
    reclaim(record) {
      own.observe(record)
      const { kind, key } = record
      const id = recordId(record)
      if (clock.now() - (reclaimed.get(id) ?? -Infinity) < RECLAIM_MS) return
      for (const [other, at] of reclaimed) if (clock.now() - at >= RECLAIM_MS) reclaimed.delete(other)
      reclaimed.set(id, clock.now())
      if (kind === 'imports') {
        // Nothing of an earlier life is under way any more.
        void own.publish('imports', '', () => ({ imports: [...imports.values()] })).catch(() => undefined)
      } else if (kind === 'manifest') {
        void own.publish('manifest', key, () => book.find('manifest', self, key)?.body ?? null).catch(() => undefined)
      } else if (kind === 'profile' || kind === 'holdings') {
        const said = book.find(kind, self)?.body
        // Not said yet in this life: the next time that we do, the version is above the old one.
        if (said !== undefined) void own.publish(kind, '', () => said).catch(() => undefined)
      }
    },
  }
  return publisher
}

function placementBody({
  digest,
  kind,
  stages,
  replicas = [],
  note,
}: PlacementInit): Omit<BodyOf<'placement'>, 'epoch'> {
  const plain = (list: PlacementInit['stages']) => list.map(({ peer, from, to }) => ({ peer, from, to }))
  return {
    digest,
    kind,
    stages: plain(stages),
    ...(replicas.length === 0 ? {} : { replicas: plain(replicas) }),
    ...(note === undefined ? {} : { living: plainNote(note, plain) }),
  }
}

function plainNote(
  { origin, objective, next, before, refused, pinned, without = [] }: NonNullable<PlacementInit['note']>,
  plain: (list: PlacementInit['stages']) => { peer: string; from: number; to: number }[],
): NonNullable<BodyOf<'placement'>['living']> {
  return {
    origin,
    objective,
    ...(next === undefined ? {} : { next: plain(next) }),
    ...(before === undefined ? {} : { before: plain(before) }),
    ...(refused === undefined ? {} : { refused: plain(refused) }),
    ...(without.length === 0 ? {} : { without: without.slice(0, MAX_SHUNNED) }),
    ...(pinned === undefined ? {} : { pinned: plain(pinned) }),
  }
}

function copyHoldings({ model, digest, tensors, stages }: ModelHoldings): {
  model: string
  digest: string
  tensors: [number, number][]
  stages: ReadyStage[]
} {
  return {
    model,
    digest,
    tensors: tensors.map(([from, to]) => [from, to]),
    stages: stages.map(({ from, to, pid, memory, state, short = false }) => ({
      from,
      to,
      pid,
      memory,
      state,
      ...(short ? { short } : {}),
    })),
  }
}

/** A tensor that two blocks share (tied embedding and head) is stored once. */
function sizeOf(blocks: AnyManifest['blocks']): number {
  const sizes = new Map(blocks.flatMap(({ tensors }) => tensors.map(({ address, bytes }) => [address, bytes] as const)))
  return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0)
}
