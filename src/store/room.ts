/** Is there room on the disk, before anything is written? */
import { availableBytes } from './disk.ts'
import { DiskFullError } from './errors.ts'

/** Left free beside what is being written, so that logs and the ledger still have room. */
const RESERVE_BYTES = 1 << 20

/** @throws DiskFullError before anything is written, when it is plain that the bytes cannot fit. */
export async function needRoom(directory: string, bytes: number): Promise<void> {
  const free = await availableBytes(directory)
  if (bytes > 0 && bytes + RESERVE_BYTES > free) throw new DiskFullError(directory, bytes, free)
}
