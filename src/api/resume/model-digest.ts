/** Which model an answer was begun with: another of the same name would go on with another text. */
import type { Peer } from '../../peer/index.ts'
import { ModelChangedError } from './errors.ts'

export type ManifestSource = Pick<Peer, 'manifest'>

/** Null: not known now. */
export async function digestOf(peer: ManifestSource, model: string): Promise<string | null> {
  try {
    return (await peer.manifest(model)).digest
  } catch {
    return null
  }
}

/** @throws ModelChangedError */
export async function checkModel(peer: ManifestSource, model: string, digest: string | null): Promise<void> {
  const now = digest === null ? null : await digestOf(peer, model)
  if (now !== null && now !== digest) throw new ModelChangedError(model)
}
