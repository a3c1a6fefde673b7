"""What codes are good for: drawing and blending them, classifying by them, PCA beside them."""
