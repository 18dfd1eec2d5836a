/** weft bugreport [NOTE]: one file to attach, and a look at what is in it. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Command } from '../context.ts'
import { CannotWriteError } from '../errors.ts'
import { formatBytes } from '../format.ts'
import { collectReport } from '../report.ts'

export const command: Command = async ({ flags, home, io, out, signal }) => {
  const report = await collectReport(io, home, flags.argument(0), signal)
  const stamp = report.at.replace(/[-:]/g, '').slice(0, 15)
  const file = resolve(flags.text('out') ?? `weft-bugreport-${stamp}.json.gz`)
  const text = `${JSON.stringify(report, null, 2)}\n`
  const bytes = file.endsWith('.gz') ? await promisify(gzip)(text) : Buffer.from(text)
  try {
    // It names peers and addresses: for the one who made it until they choose to share it.
    await writeFile(file, bytes, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw new CannotWriteError(file, error)
  }
  if (out.structured) {
    out.document({ schema: 'weft.bugreport-file/1', file, bytes: bytes.length })
    return
  }
  out.line(file)
  out.note(
    `${formatBytes(bytes.length)}: versions, checks, state and ${report.logs.length} lines of log, no prompts and no keys.`,
  )
  out.note('It names peers and addresses: read it (zless) before you share it.')
}
