import { KINDS } from './kinds/membership.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite('membership', KINDS)
