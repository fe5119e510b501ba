from punie.acp.sdk import import_schema

import_schema()
