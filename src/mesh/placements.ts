/** Which placement of a model stands: the highest epoch; of equal ones first those by hand, then by the author's id. */
import type { RecordBook } from './record-book.ts'
import type { StoredRecord } from './stored-record.ts'
import type { MeshPlacement } from './types.ts'

type PlacementRecord = StoredRecord<'placement'>

function beats(left: PlacementRecord, right: PlacementRecord): boolean {
  if (left.body.epoch !== right.body.epoch) return left.body.epoch > right.body.epoch
  // What a person says at the same moment is not undone by a decision that had not heard of it.
  if (left.body.kind !== right.body.kind) return left.body.kind === 'hand'
  return left.author > right.author
}

/** Withdrawn ones stand as well: they keep older ones from coming back. */
export function standingPlacements(book: RecordBook): Map<string, PlacementRecord> {
  const standing = new Map<string, PlacementRecord>()
  for (const record of book.ofKind('placement')) {
    const other = standing.get(record.key)
    if (other === undefined || beats(record, other)) standing.set(record.key, record)
  }
  return standing
}

export function standingPlacement(book: RecordBook, model: string): PlacementRecord | undefined {
  return standingPlacements(book).get(model)
}

export function asPlacement({ key, author, body }: PlacementRecord): MeshPlacement {
  return {
    model: key,
    digest: body.digest,
    epoch: body.epoch,
    author,
    kind: body.kind,
    stages: body.stages,
    replicas: body.replicas ?? [],
    ...(body.living === undefined ? {} : { note: body.living }),
  }
}
