/** Parts that the error classes of the command line share. */
import type { ErrorInfo, ExitStatus } from '../errors.ts'

export function info(
  number: string,
  exit: ExitStatus,
  title: string,
  meaning: string,
  remedy: string,
  http = 400,
): ErrorInfo {
  return { code: `WEFT-CLI-${number}`, title, meaning, remedy, exit, http }
}

/** The operating system's reason in words, without its stack. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = (error as NodeJS.ErrnoException).code
  return (code === undefined ? undefined : REASONS[code]) ?? error.message
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is nothing there',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is no folder',
  ENOSPC: 'the disk is full',
  EROFS: 'the disk is read-only',
}
