from punie.models.mlx.library import lighten

lighten()
