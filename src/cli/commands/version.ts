/** weft version */
import { arch, platform } from 'node:os'
import type { Command } from '../context.ts'
import { dependencyVersion, packageVersion } from '../version.ts'

export const command: Command = ({ out }) => {
  const version = packageVersion()
  const facts = {
    node: process.versions.node,
    platform: platform(),
    arch: arch(),
    onnxruntime: dependencyVersion('onnxruntime-node'),
    libp2p: dependencyVersion('libp2p'),
  }
  if (out.structured) out.document({ schema: 'weft.version/1', version, ...facts })
  else
    out.line(
      `weft ${version} (node ${facts.node}, ${facts.platform} ${facts.arch}, onnxruntime ${facts.onnxruntime ?? 'none'})`,
    )
  return Promise.resolve()
}
