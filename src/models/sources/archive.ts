/** Finding one file in an archive: nothing else is ever written to disk. */
import { FetchError } from '../errors.ts'

/** Writes the bytes of the wanted entry; returns whether it was there. */
export type Extract = (archive: string, entry: string, target: string, signal: AbortSignal) => Promise<boolean>

/** No model file is larger; an archive that unpacks to more is a bomb. */
export const MAX_ENTRY_BYTES = 2 ** 42

export function malformed(why: string): FetchError {
  return new FetchError('the package', `its archive is malformed: ${why}`)
}
