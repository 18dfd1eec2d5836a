import { KINDS } from './kinds/federation.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite('federation', KINDS)
